//! The configuration language from outside (manual, "Config file").

mod compat;
mod errors;
mod options;
mod structure;
mod support;
