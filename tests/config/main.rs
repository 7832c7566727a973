//! The configuration language from outside (manual, "Config file").

mod compat;
mod errors;
mod options;
mod print;
mod properties;
mod structure;
mod support;
