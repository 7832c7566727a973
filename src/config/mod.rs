//! The configuration language: bytes to a [`Config`] (manual, "Config file").

#![forbid(unsafe_code)]

mod spec;

pub use spec::{Address, AddressUse, Config, JobSpec, JobView, Resource, Span, Strings, Ulimit};
