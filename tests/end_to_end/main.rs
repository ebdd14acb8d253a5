//! The built binary from end to end: real SDKs, the clouds' own wire protocols, independent official clients.

mod acceptance;
mod command_line;
mod documents;
mod local;
mod program;
mod workers;
