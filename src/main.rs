//! The program: hands the command line to the library and exits with what it says.
//!
//! The hidden subcommands come first and cost nothing: they are on the path of every attempt.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use taskloom::agents::{process, signals};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("shim") => process::shim_main(),
        Some("exec-agent") => process::exec_main(args),
        Some("task") => task(&args.next().unwrap_or_default()),
        Some(_) | None => ExitCode::SUCCESS,
    }
}

/// `taskloom task JSON`: says one signal from inside an attempt.
fn task(json: &str) -> ExitCode {
    let dir = std::env::var_os(signals::DIR_VARIABLE).map(PathBuf::from);
    let sent = signals::Signal::parse(json.as_bytes())
        .map_err(signals::SendError::from)
        .and_then(|signal| signals::send(dir.as_deref(), &signal));
    match sent {
        Ok(answer) => {
            let text = answer.map_or(String::new(), |text| text + "\n");
            std::io::stdout().write_all(text.as_bytes()).ok();
            ExitCode::SUCCESS
        }
        Err(error) => {
            writeln!(std::io::stderr(), "{error}").ok();
            ExitCode::from(error.exit_code())
        }
    }
}
