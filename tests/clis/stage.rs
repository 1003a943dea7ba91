//! A world with a scripted model and a coding agent's own program in it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::model::{Model, Step, say, tool};
use crate::world::{Said, World, ended, until};

/// A key that is worth nothing, and that must turn up nowhere.
pub(crate) const KEY: &str = "sk-ant-dummy-canary-7f3a9b";

/// A world, a model and a program.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) model: Model,
    variables: Vec<(&'static str, OsString)>,
}

/// Where a pinned program is, if it is installed.
fn pinned(path: &str) -> Option<PathBuf> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clis/node_modules");
    let program = modules.join(path);
    if program.is_file() {
        return Some(program);
    }
    eprintln!("SKIPPED: {path} is not installed; `npm ci --prefix tests/clis` does it");
    None
}

/// A program that writes what no protocol has, and is Claude Code then.
fn noisy(program: &Path) -> String {
    format!(
        "#!/bin/sh\ncase $1 in --version) ;; *)\n  echo 'Warning: {{not json'\n  \
         head -c 17825792 /dev/zero | tr '\\0' x\n  echo\n  printf '\\377\\376 no text\\n' ;;\nesac\n\
         exec {} \"$@\"\n",
        program.display()
    )
}

impl Stage {
    /// With Claude Code, which has a key.
    pub(crate) fn claude() -> Option<Self> {
        Self::signed_in("ANTHROPIC_API_KEY", KEY)
    }

    /// With Claude Code, and a way to sign in.
    pub(crate) fn signed_in(variable: &'static str, key: &str) -> Option<Self> {
        let program = pinned("@anthropic-ai/claude-code-linux-x64/claude")?;
        let model = Model::start();
        let world = World::new();
        let wrapper = world.write("noisy.sh", &noisy(&program));
        std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut config = "default_agent: claude\nagents:\n".to_owned();
        let profiles = [
            ("claude", &program, ""),
            ("free", &program, "args: [\"--allowedTools=Bash\"]"),
            ("short", &program, "args: [\"--max-turns=1\"]"),
            ("mute", &program, "args: [\"--permission-mode=dontAsk\"]"),
            ("noisy", &wrapper, ""),
            ("trusted", &program, "permissions: all"),
        ];
        for (name, program, more) in profiles {
            let variables = format!("[{variable}, ANTHROPIC_BASE_URL, CLAUDE_CODE_MAX_RETRIES]");
            writeln!(
                config,
                "  {name}:\n    framework: claude_code\n    command: {}\n    env: {variables}\n    {more}",
                program.display()
            )
            .unwrap();
        }
        world.write("config.yaml", &config);
        let variables = vec![
            (variable, key.into()),
            ("ANTHROPIC_BASE_URL", model.url().into()),
            ("CLAUDE_CODE_MAX_RETRIES", "1".into()),
        ];
        Some(Self { world, model, variables })
    }

    /// With Codex, which has a key and is walled in by nothing; as `walled` it has its own sandbox.
    pub(crate) fn codex() -> Option<Self> {
        let path = "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex";
        let program = pinned(path)?;
        let (model, world) = (Model::start(), World::new());
        let provider = format!(
            "model_providers.scripted={{name=\"scripted\",base_url=\"{}/v1\",env_key=\"MODEL_KEY\",\
             wire_api=\"responses\",request_max_retries=1,stream_max_retries=1,\
             supports_websockets=false}}",
            model.url()
        );
        let mut config = "default_agent: codex\nagents:\n".to_owned();
        for (name, permissions) in [("codex", "all"), ("walled", "edits")] {
            writeln!(
                config,
                "  {name}:\n    framework: codex\n    command: {}\n    model: scripted\n    \
                 permissions: {permissions}\n    env: [MODEL_KEY]\n    \
                 args: ['-cmodel_provider=\"scripted\"', '-c{provider}']",
                program.display()
            )
            .unwrap();
        }
        world.write("config.yaml", &config);
        Some(Self { world, model, variables: vec![("MODEL_KEY", KEY.into())] })
    }

    /// With Gemini CLI, by the Agent Client Protocol; as `trusted` it need not ask.
    pub(crate) fn gemini() -> Option<Self> {
        let program = pinned("@google/gemini-cli/bundle/gemini.js")?;
        let (model, world) = (Model::start(), World::new());
        let mut config = "default_agent: gemini\nagents:\n".to_owned();
        for (name, permissions) in [("gemini", "edits"), ("trusted", "all")] {
            writeln!(
                config,
                "  {name}:\n    framework: acp\n    command: node {} --acp --model=gemini-2.5-flash\n    \
                 permissions: {permissions}\n    env: [GEMINI_API_KEY, GOOGLE_GEMINI_BASE_URL]",
                program.display()
            )
            .unwrap();
        }
        world.write("config.yaml", &config);
        let variables =
            vec![("GEMINI_API_KEY", KEY.into()), ("GOOGLE_GEMINI_BASE_URL", model.url().into())];
        Some(Self { world, model, variables })
    }

    /// With OpenCode, by the Agent Client Protocol.
    pub(crate) fn opencode() -> Option<Self> {
        let program = pinned("opencode-linux-x64-baseline/bin/opencode")?;
        let (model, world) = (Model::start(), World::new());
        let config = format!(
            "default_agent: opencode\nagents:\n  opencode:\n    framework: opencode\n    \
             command: {}\n    env: [MODEL_KEY, OPENCODE_CONFIG_CONTENT, OPENCODE_DISABLE_MODELS_FETCH]\n",
            program.display()
        );
        world.write("config.yaml", &config);
        let provider = json!({
            "npm": "@ai-sdk/openai-compatible", "name": "scripted",
            "options": { "baseURL": format!("{}/v1", model.url()), "apiKey": "{env:MODEL_KEY}" },
            "models": { "scripted": { "name": "scripted", "tool_call": true } },
        });
        let own = json!({ "provider": { "scripted": provider }, "model": "scripted/scripted" });
        let variables = vec![
            ("MODEL_KEY", KEY.into()),
            ("OPENCODE_CONFIG_CONTENT", own.to_string().into()),
            ("OPENCODE_DISABLE_MODELS_FETCH", "1".into()),
        ];
        Some(Self { world, model, variables })
    }

    /// The profile has a system prompt, an MCP server `tracker`, which is Taskloom's own for editors
    /// and wants a token, and `more`. Who can see the token is written down in `seen`.
    pub(crate) fn with_server(mut self, profile: &str, more: &str) -> Self {
        let script = format!(
            "#!/bin/sh\ntest ${{#TRACKER_TOKEN}} -eq {} || exit 1\n\
             for line in /proc/[0-9]*/cmdline; do\n  \
             case \"$(tr '\\0' ' ' < $line 2> /dev/null)\" in *\"$TRACKER_TOKEN\"*) echo $line ;; esac\n\
             done > {}\nexec {} mcp --data-dir {}\n",
            KEY.len(),
            self.world.path("seen").display(),
            env!("CARGO_BIN_EXE_taskloom"),
            self.world.data().display(),
        );
        let script = self.world.write("tracker.sh", &script);
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let head = format!("  {profile}:\n");
        let options = format!(
            "{head}    system_prompt: Mind the gap.\n    mcp_servers:\n      tracker:\n        \
             command: {}\n        env: [TRACKER_TOKEN]\n{more}",
            script.display()
        );
        let config = std::fs::read_to_string(self.world.path("config.yaml")).unwrap();
        assert!(config.contains(&head), "{config}");
        self.world.write("config.yaml", &config.replacen(&head, &options, 1));
        self.variables.push(("TRACKER_TOKEN", KEY.into()));
        self
    }

    /// Plans are read by a profile.
    pub(crate) fn with_parser(self, profile: &str) -> Self {
        let config = std::fs::read_to_string(self.world.path("config.yaml")).unwrap();
        let config = format!("{config}\nplans: {{parser: {profile}}}\n");
        self.world.write("config.yaml", &config);
        self
    }

    /// A plan in words is read as two steps; both are done once a person approves them. What `plan show`
    /// says of it is returned, and what the model was asked.
    pub(crate) fn plan_is_read(&self, does: [Vec<Step>; 2]) -> (String, Value) {
        let said = self.run(&self.graph("planned", "    plan: true\n"));
        assert_eq!(said.code, 3, "{}\n{}", said.out, said.err);
        let shown = self.world.taskloom(&["plan", "show", "work"]).out;
        assert!(shown.contains("2. Then this"), "{shown}");
        let asked = self.model.asked("reads");
        assert_eq!(asked.len(), 1, "it is asked once");
        let [first, second] = does;
        self.model.script("first", first);
        self.model.script("second", second);
        assert_eq!(self.world.taskloom(&["plan", "approve", "work"]).code, 0);
        let said = self.run(&self.world.path("planned.yaml"));
        assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
        assert_eq!(self.model.asked("reads").len(), 1);
        (shown, asked[0].body.clone())
    }

    /// The server ran, and its token was on no command line.
    pub(crate) fn token_was_seen_by_nobody(&self) {
        assert_eq!(std::fs::read_to_string(self.world.path("seen")).unwrap(), "");
    }

    /// A graph of one task, `work`, whose agent plays a scenario.
    pub(crate) fn graph(&self, scenario: &str, more: &str) -> PathBuf {
        self.graph_of(scenario, &[(scenario, more)])
    }

    /// A graph of a task for each scenario; the only one is called `work`.
    pub(crate) fn graph_of(&self, name: &str, tasks: &[(&str, &str)]) -> PathBuf {
        let mut graph = format!(
            "name: {name}\nmax_concurrency: 4\nretry: {{backoff: {{initial: 10ms, max: 20ms, jitter: 0}}}}\nworkstreams:\n  \
             - {{id: default, auto_merge: true, max_parallel: 4}}\ntasks:\n"
        );
        for (scenario, more) in tasks {
            let id = if tasks.len() == 1 { "work" } else { scenario };
            writeln!(graph, "  - id: {id}\n    description: Do as [[{scenario}]] says.\n{more}")
                .unwrap();
        }
        self.world.write(&format!("{name}.yaml"), &graph)
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, graph: &Path) -> Said {
        ended(self.spawn(graph))
    }

    /// Starts it and leaves it running.
    pub(crate) fn spawn(&self, graph: &Path) -> Child {
        let text = |path: PathBuf| path.display().to_string();
        let (config, repo) = (text(self.world.path("config.yaml")), text(self.world.repo()));
        let graph = graph.display().to_string();
        let args = ["run", &graph, "--repo", &repo, "--config", &config];
        self.world.spawn_program(&args, &self.variables)
    }

    /// What is on the screen of the first attempt's tmux session.
    #[expect(clippy::disallowed_methods, reason = "what a user would look at")]
    pub(crate) fn screen(&self, run: &str) -> String {
        let dir = format!("runs/repo/{run}/1/tasks/work/attempts/0");
        let mut command = Command::new("tmux");
        command.current_dir(self.world.data().join(dir)).args(["-S", "tmux.sock"]);
        let output = command.args(["capture-pane", "-p"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `doctor` says with these profiles and variables.
    pub(crate) fn doctor(&self) -> Said {
        let config = self.world.path("config.yaml").display().to_string();
        ended(self.world.spawn_program(&["doctor", "--config", &config], &self.variables))
    }

    /// Claude Code beside Taskloom, with the servers of `mcp.json`.
    #[expect(clippy::disallowed_methods, reason = "what a user would start")]
    pub(crate) fn editor(&self, prompt: &str) -> Said {
        let program = pinned("@anthropic-ai/claude-code-linux-x64/claude").unwrap();
        let mut command = Command::new(program);
        command.args(["-p", prompt, "--strict-mcp-config", "--allowedTools=mcp__taskloom"]);
        command.arg("--mcp-config").arg(self.world.path("mcp.json"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.world.path("")).envs(self.variables.clone());
        command.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ended(command.spawn().unwrap())
    }

    /// What people see of the last attempt.
    pub(crate) fn log(&self, task: &str) -> String {
        self.world.taskloom(&["logs", task]).out
    }

    /// A file of `main`.
    pub(crate) fn file(&self, name: &str) -> String {
        self.world.git(&["show", &format!("main:{name}")])
    }

    /// What is said about why the task does not go on.
    pub(crate) fn why(&self) -> String {
        self.world.taskloom(&["why", "work"]).out
    }

    /// The sessions that the program of an attempt, from 0, named.
    pub(crate) fn sessions(&self, attempt: u32) -> BTreeSet<String> {
        let attempt = (attempt + 1).to_string();
        let raw = self.world.taskloom(&["logs", "work", "--raw", "--attempt", &attempt]).out;
        let lines = raw.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| Some(line["session_id"].as_str()?.to_owned())).collect()
    }

    /// Nothing that was started still runs, and the key is nowhere.
    pub(crate) fn nothing_is_left(&self) {
        until("all processes are gone", || self.world.processes().is_empty());
        self.world.holds_nowhere(KEY);
    }

    /// Waits until the task is in a state.
    pub(crate) fn waits(&self, state: &str) {
        until(state, || self.world.state("work") == state);
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the program that is tested reads the clock too")]
pub(crate) fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// A plan in words, which the script `reads` is for.
pub(crate) const PLAN: &str = "First this, then that. Do as [[reads]] says.";

/// What is to be answered to it.
pub(crate) fn steps() -> Value {
    json!({ "steps": [
        { "title": "First that", "text": "Do as [[first]] says.", "after": [] },
        { "title": "Then this", "text": "Do as [[second]] says.", "after": [0] },
    ] })
}

/// It ends its turn.
pub(crate) fn over() -> Step {
    say("All finished.")
}

/// Claude Code writes `NAME.txt`.
pub(crate) fn file(name: &str) -> Step {
    tool("Write", json!({ "file_path": format!("{name}.txt"), "content": "hello\n" }))
}

/// Claude Code runs a command.
pub(crate) fn bash(command: &str) -> Step {
    tool("Bash", json!({ "command": command, "description": "a command" }))
}

/// It says something to Taskloom.
pub(crate) fn signal(name: &str, input: Value) -> Step {
    tool(&format!("mcp__taskloom__{name}"), input)
}

/// It says that it is done.
pub(crate) fn done(summary: &str) -> Step {
    signal("done", json!({ "summary": summary }))
}

/// What the tasks of a run ended with, as people read it.
pub(crate) fn table(stage: &Stage, graph: &str) -> String {
    let status = stage.world.json(&["status", graph]);
    let mut lines = Vec::new();
    for task in status["tasks"].as_array().unwrap() {
        let id = task["id"].as_str().unwrap();
        let why = stage.world.taskloom(&["why", id]).out;
        let (told, more) = why.split_once('\n').unwrap_or((&why, ""));
        let more = more.lines().next().unwrap_or(told);
        let more = more.replace(&stage.model.url()[7..], "127.0.0.1:PORT");
        let whole = more.rsplit_once("attempt ").map_or(told, |(_, m)| m);
        // How programs put it is long, and counts what no two runs have the same.
        let mut told: String = whole.chars().take(100).collect();
        if told.len() < whole.len() {
            told.push('…');
        }
        lines.push(format!("{id:<13} {told}"));
    }
    lines.join("\n")
}
