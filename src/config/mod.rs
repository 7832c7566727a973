//! The configuration language: bytes to a [`Config`] (manual, "Config file").

#![forbid(unsafe_code)]

mod draft;
mod hint;
mod lexer;
mod option;
mod parser;
mod problem;
mod report;
mod sentence;
mod spec;
mod token;
mod value;

pub use option::{options, OptionRule};
pub use parser::{parse, parse_traced, Refused};
pub use problem::{Limit, Problem, ProblemKind, Severity, ValueFault};
pub use spec::{Address, AddressUse, Config, JobSpec, JobView, Resource, Span, Strings, Ulimit};
pub use token::{Token, TokenKind};
pub use value::{AddressFault, CpuFault, IntervalFault, LimitFault};
