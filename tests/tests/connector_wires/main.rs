//! Services that speak a protocol of their own over a socket, each against a real server, or else a fake of it, and against servers that are not what they should be.

mod brokers;
mod catchers;
mod common;
mod directory;
mod hostile;
mod mail_and_files;
mod nosql;
mod oracle;
mod proxies;
mod redis;
mod sql_server;
mod ssh;
mod words;
