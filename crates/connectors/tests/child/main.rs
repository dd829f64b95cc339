//! Tests against hostile and broken servers, each in a child process: this binary is its own child, as `dataflow` is.
//!
//! No harness of the standard library: `main` has to call `child::enter` before anything else.

mod certificates;
mod files;
mod hostile;
mod http;
mod peer;
mod postgres;
mod process;
mod run;
mod stalls;
mod tls;

use libtest_mimic::{Arguments, Trial};

fn main() -> std::process::ExitCode {
    dataflow_connectors::child::enter();
    let topics = [
        files::trials(),
        hostile::trials(),
        http::trials(),
        postgres::trials(),
        process::trials(),
        run::trials(),
        stalls::trials(),
        tls::trials(),
    ];
    let trials: Vec<Trial> = topics.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
