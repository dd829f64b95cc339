//! What the child gives up before it reads anything. The only unsafe code of this crate.
#![expect(unsafe_code, reason = "resource limits and process flags are system calls without a safe form in std")]

use std::io;

use libc::{c_int, c_uint, c_ulong, rlim_t};

/// Private writable memory: a test needs about 10 MiB of it, threads' stacks included.
const MEMORY: rlim_t = 64 * 1024 * 1024;
/// Processor time in seconds. The deadline is shorter; this holds even if the parent is gone.
const PROCESSOR: rlim_t = 12;

/// Confines this process for good. To be called while it has one thread.
pub(super) fn confine() -> io::Result<()> {
    close_inherited()?;
    limit(libc::RLIMIT_DATA, MEMORY)?;
    limit(libc::RLIMIT_CPU, PROCESSOR)?;
    limit(libc::RLIMIT_CORE, 0)?;
    flag(libc::PR_SET_PDEATHSIG, c_ulong::from(libc::SIGKILL.unsigned_abs()))?;
    flag(libc::PR_SET_DUMPABLE, 0)?;
    flag(libc::PR_SET_NO_NEW_PRIVS, 1)
}

fn close_inherited() -> io::Result<()> {
    // SAFETY: the caller is the first statement of `main`, so no object of this process owns a descriptor above the
    // three standard ones; what is closed was left open by a careless ancestor.
    done(unsafe { libc::close_range(3, c_uint::MAX, 0) })
}

fn limit(resource: libc::__rlimit_resource_t, most: rlim_t) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: `limit` is a valid `rlimit` that outlives the call, which only reads it.
    done(unsafe { libc::setrlimit(resource, &raw const limit) })
}

fn flag(option: c_int, value: c_ulong) -> io::Result<()> {
    let unused: c_ulong = 0;
    // SAFETY: the three options used here take an integer and touch no memory of this process.
    done(unsafe { libc::prctl(option, value, unused, unused, unused) })
}

fn done(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
