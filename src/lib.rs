//! pmtr: a small process supervisor for appliances.
#![no_std]
#![warn(missing_docs)]

pub mod config;
pub mod limits;
pub mod lines;
pub mod name;
pub mod ring;
pub mod supervise;
pub mod time;

pub mod sys;
