//! The configuration language: bytes to a [`Config`] (manual, "Config file").

#![forbid(unsafe_code)]

mod address;
mod cpu;
mod draft;
mod grammar;
mod hint;
mod lexer;
mod option;
mod parser;
mod print;
mod problem;
mod report;
mod sentence;
mod setter;
mod shell;
mod spec;
mod token;
mod ulimit;
mod value;

pub use address::{AddressFault, Prefix};
pub use cpu::CpuFault;
pub use option::{options, OptionRule};
pub use parser::{parse, parse_traced, Refused};
pub use problem::{Limit, Problem, ProblemKind, Severity, ValueFault};
pub use shell::ShellWord;
pub use spec::{
    Address, AddressUse, Config, JobSpec, JobView, Resource, Size, Span, Strings, Ulimit,
};
pub use token::{Token, TokenKind};
pub use ulimit::LimitFault;
pub use value::{is_id, numeric_id, IntervalFault, NotAnId};
