//! The program: see the library.

fn main() -> std::process::ExitCode {
    pmtr::sys::start::main()
}
