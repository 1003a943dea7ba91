//! The example is the truth, and every bad file gets its sentence.

use std::path::Path;

use taskloom::config::{Config, Hooks, Source};
use taskloom::state::ProjectSettings;

fn check(text: &str) -> String {
    match Config::parse(text, Some(Path::new("/home/ada"))) {
        Ok(_) => "fine".to_owned(),
        Err(failure) => failure.to_string(),
    }
}

#[test]
fn the_example_says_what_holds_without_it() {
    let text = include_str!("../config.example.yaml");
    let example = Config::parse(text, Some(Path::new("/home/ada"))).unwrap();
    let plain = Config::parse("", Some(Path::new("/home/ada"))).unwrap();
    let (default_agent, agents, projects, discord, github, hooks) = (
        example.default_agent.clone(),
        example.agents.clone(),
        example.projects.clone(),
        example.discord.clone(),
        example.github.clone(),
        example.hooks.clone(),
    );
    assert_eq!(
        example,
        Config { default_agent, agents, projects, discord, github, hooks, ..plain.clone() }
    );
    let Hooks { slots, hosts, .. } = &example.hooks;
    assert_eq!((slots, hosts), (&plain.hooks.slots, &plain.hooks.hosts));
    assert_eq!(example.hooks.list.len(), 2);
    assert_eq!(example.github, Config::parse("github: {}", None).unwrap().github);
    let bare = Config::parse("discord: {guild: '1'}", None).unwrap().discord.unwrap();
    let bot = example.discord.unwrap();
    let defaults = |bot: &taskloom::discord::Options| {
        let token = bot.token.clone();
        (token, bot.verbosity, bot.message_content, bot.rules.self_approval, bot.api.clone())
    };
    assert_eq!(defaults(&bot), defaults(&bare));
    let shop = &example.projects[0];
    assert_eq!(shop.source, Source::Link("/home/ada/src/shop".into()));
    assert_eq!(
        shop.settings,
        ProjectSettings { graphs: Some("graphs".to_owned()), ..ProjectSettings::default() }
    );
}

#[test]
fn bad_files_are_told_what_is_wrong_and_where() {
    let cases = [
        "slots: 0",
        "slots: many",
        "project_slots: 0",
        "budget: {usd: -1}",
        "budget: {tokens: 0}",
        "quiet_hours: {from: '25:00', to: '07:00'}",
        "quiet_hours: {from: '07:00', to: '07:00'}",
        "time_zone: Atlantis",
        "resume: never",
        "agents: {x: {framework: codex, slots: 0}}",
        "projects: [{id: a}]",
        "projects: [{id: a, link: /x, clone: 'https://example.org/a.git'}]",
        "projects: [{id: a, link: /x, weight: 0}]",
        "projects: [{id: a, link: /x, max_agents: 0}]",
        "projects: [{id: a, link: /x, agent: nobody}]",
        "projects: [{id: a, link: /x, approval: {tasks: {count: 0}}}]",
        "projects: [{id: a, link: /x, graphs: ../elsewhere}]",
        "slot: 4",
        "slots: 4\nslots: 5",
        "default_agent: nobody",
        "agents: {x: {framework: shell}}",
        "agents: {x: {framework: word}}",
        "agents: {'a b': {framework: claude_code}}",
        "agents: {x: {framework: shell, command: a, allowed_tools: [Bash]}}",
        "agents: {x: {framework: shell, command: a, system_prompt: Be brief.}}",
        "agents: {x: {framework: shell, command: a, mcp_servers: {t: {command: t}}}}",
        "agents: {x: {framework: claude_code, permissions: all, allowed_tools: [Read]}}",
        "agents: {x: {framework: claude_code, allowed_tools: ['--bad']}}",
        "agents: {x: {framework: claude_code, allowed_tools: [mcp__t]}}",
        "agents: {x: {framework: codex, allowed_tools: [shell]}}",
        "agents: {x: {framework: gemini, allowed_tools: [run_shell_command]}}",
        "agents: {x: {framework: codex, mcp_servers: {taskloom: {command: t}}}}",
        "agents: {x: {framework: codex, mcp_servers: {a__b: {command: t}}}}",
        "agents: {x: {framework: codex, mcp_servers: {t: {}}}}",
        "agents: {x: {framework: codex, mcp_servers: {t: {command: t, env: ['TOKEN=1']}}}}",
        "agents: {x: {framework: codex, mcp_servers: {t: {command: t, args: ['${TOKEN}']}}}}",
        "agents: {x: {framework: codex, mcp_servers: {t: {url: 'https://a:b@host/'}}}}",
        "agents: {x: {framework: codex, mcp_servers: {t: {url: 'http://host/', token_env: T}}}}",
        "agents: {x: {framework: codex, system_prompt: ' '}}",
        "agents: {x: {framework: codex, install_hint: \"two\\nlines\"}}",
        "timeouts: {gate: soon}",
        "stall: {after: soon}",
        "stall: {nudges: 99}",
        "monitoring: {stuck_after: 1s}",
        "archive: {after: never}",
        "memory: {per_prompt: 21}",
        "plans: {parser: nobody}",
        "agents: {x: {framework: opencode}}\nplans: {parser: x}",
        "git: {merge_method: octopus}",
        "projects: [{id: a, link: /x}, {id: a, link: /y}]",
        "isolation: {sandbox: wood}",
        "data_dir: [",
        "http: {listen: everywhere}",
        "http: {listen: '0.0.0.0:8080'}",
        "http: {listen: '[::]:8080', public: maybe}",
        "github: {webhook: {secret_env: HOOK}}",
        "discord: {}",
        "discord: {guild: workshop}",
        "discord: {guild: 1, token_env: A, token_file: b}",
        "discord: {guild: 1, api: 'https://example.com'}",
        "discord: {guild: 1, permissions: {operater: {users: ['2']}}}",
    ];
    let table: String = cases.iter().map(|text| format!("{text:?}\n{}\n\n", check(text))).collect();
    insta::assert_snapshot!(table);
}
