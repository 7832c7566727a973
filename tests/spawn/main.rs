//! A job's process, looked at from inside and outside: what it has, what it has
//! not, how it fails, and whether that is foretold. Real forks, real programs;
//! root and nobody.

mod check;
mod environment;
mod failures;
mod files;
mod process;
mod resources;
mod support;
mod users;
