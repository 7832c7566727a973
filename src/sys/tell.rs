//! What pmtr says, on its way to the facade of the `log` crate.
//!
//! The facade's own macros keep the place in the source of each call, behind a pointer: that is memory of
//! each process (see [`crate::short`]), for what no log shows. Here is one place for all.

use ::log::Level;
use core::fmt::Arguments;

/// Says something; whether it is logged depends on its level.
pub(super) fn tell(level: Level, text: Arguments<'_>) {
    ::log::log!(target: "pmtr", level, "{text}");
}

/// Says what is more than an error (`log::CRITICAL`).
pub(super) fn critical(text: Arguments<'_>) {
    ::log::error!(target: super::log::CRITICAL, "{text}");
}

macro_rules! error {
    ($($text:tt)+) => { $crate::sys::tell::tell(::log::Level::Error, format_args!($($text)+)) };
}

macro_rules! warning {
    ($($text:tt)+) => { $crate::sys::tell::tell(::log::Level::Warn, format_args!($($text)+)) };
}

macro_rules! info {
    ($($text:tt)+) => { $crate::sys::tell::tell(::log::Level::Info, format_args!($($text)+)) };
}

macro_rules! debug {
    ($($text:tt)+) => { $crate::sys::tell::tell(::log::Level::Debug, format_args!($($text)+)) };
}

pub(super) use {debug, error, info, warning};
