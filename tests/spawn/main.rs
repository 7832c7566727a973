//! A job's process, looked at from inside and outside: what it has, what it has
//! not, and how it fails. Real forks, real programs; root and nobody.

mod environment;
mod failures;
mod files;
mod process;
mod resources;
mod support;
mod users;
