//! Hooks: the rules by hand, the owner with an outside that does what it is told, and the real
//! program with real files, requests and commands.

mod house;
mod program;
mod rules;

use taskloom::config::Config;
use taskloom::hooks::rules::Hook;

/// A hook as people write it.
fn hook(text: &str) -> Hook {
    let config = Config::parse("hook_hosts: [example.org]\nhttp: {listen: '127.0.0.1:1'}", None);
    config.unwrap().read_hook(text, None).unwrap()
}
