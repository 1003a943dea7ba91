//! Standard output and error. A reader that has gone away (`taskloom run … | head`) is no reason to stop:
//! what would be printed is dropped, and the work goes on.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};

use crate::render::words;

/// Prints a line.
macro_rules! outln {
    () => { $crate::cli::out::text(format_args!("\n")) };
    ($($what:tt)*) => { $crate::cli::out::text(format_args!("{}\n", format_args!($($what)*))) };
}

/// Prints a line to standard error.
macro_rules! errln {
    ($($what:tt)*) => { $crate::cli::out::aside(format_args!("{}\n", format_args!($($what)*))) };
}

pub(crate) use {errln, outln};

/// Prints text of our own.
pub(crate) fn text(text: impl fmt::Display) {
    bytes(text.to_string().as_bytes());
}

/// Prints bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(bytes).and_then(|()| out.flush()));
}

/// Prints text of our own to standard error.
pub(crate) fn aside(text: impl fmt::Display) {
    drop(std::io::stderr().lock().write_all(text.to_string().as_bytes()));
}

/// Prints what agents wrote: on a terminal without what would steer it, elsewhere as it is.
pub(crate) fn foreign(written: &[u8]) {
    if !std::io::stdout().is_terminal() {
        return bytes(written);
    }
    for line in String::from_utf8_lossy(written).split_inclusive('\n') {
        let end = if line.ends_with('\n') { "\n" } else { "" };
        text(format_args!("{}{end}", words::visible(line.trim_end_matches(['\n', '\r']))));
    }
}
