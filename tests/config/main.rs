//! The configuration language from outside (manual, "Config file").

#[path = "../corpus/config.rs"]
mod any_text;
mod compat;
mod errors;
mod options;
mod print;
mod properties;
#[path = "../common/sealed.rs"]
mod sealed;
mod shell;
#[path = "../common/skip.rs"]
mod skip;
mod structure;
mod support;
