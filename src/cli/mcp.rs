//! `taskloom mcp`: hand in graphs and ask how they go, as tools over MCP for editors and agents.

use clap::Parser as _;
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    Implementation, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt as _};
use rmcp::transport::io::stdio;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::agents::tools::{Row, described};
use crate::cli::Outcome;
use crate::cli::args::{Cli, Command, Common};
use crate::cli::inspect;
use crate::cli::run;

const ROWS: [Row; 4] = [
    (
        "submit",
        "Hand a graph to the Taskloom daemon; it begins at once.",
        &[
            ("graph", "The path of the graph's YAML file", true),
            ("repo", "The path of the repository to work on", true),
        ],
    ),
    (
        "status",
        "Show where a run stands: its lanes, its tasks, and why each waits.",
        &[("run", "`GRAPH` or `GRAPH/NUMBER`; by default the latest run", false)],
    ),
    (
        "why",
        "Say why a task does not run, what it asks, or how it failed.",
        &[("task", "`TASK`, `GRAPH/TASK` or `GRAPH/NUMBER/TASK`", true)],
    ),
    ("inbox", "List everything that waits for a person, what holds up most first.", &[]),
];

/// Serves the tools on standard input and output until the client hangs up.
pub(crate) async fn mcp(common: &Common) -> Outcome {
    let (calls, mut asked) = mpsc::channel::<Asked>(1);
    let service = Tools { calls }.serve(stdio()).await?;
    // Questions are answered here, one after the other, until the client hangs up.
    let served = tokio::spawn(service.waiting());
    while let Some((call, reply)) = asked.recv().await {
        reply.send(answer(common, &call).await.map_err(|error| format!("{error:#}"))).ok();
    }
    served.await??;
    Ok(0)
}

/// A call, and where its answer goes.
type Asked = (CallToolRequestParams, oneshot::Sender<Result<String, String>>);

struct Tools {
    calls: mpsc::Sender<Asked>,
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("taskloom", env!("CARGO_PKG_VERSION")))
            .with_instructions("Taskloom runs graphs of coding-agent tasks.")
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(described(&ROWS)))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (reply, answer) = oneshot::channel();
        let gone = "Taskloom is ending".to_owned();
        let asked = self.calls.send((call, reply)).await.is_ok();
        let answer = if asked { answer.await.unwrap_or(Err(gone)) } else { Err(gone) };
        let result = match answer {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Err(error) => CallToolResult::error(vec![ContentBlock::text(error)]),
        };
        Ok(CallToolResponse::Complete(result))
    }
}

async fn answer(common: &Common, call: &CallToolRequestParams) -> anyhow::Result<String> {
    let argument = |name: &str| {
        let value = call.arguments.as_ref().and_then(|all| all.get(name));
        value.and_then(Value::as_str).map(str::to_owned)
    };
    let needed = |name: &str| {
        argument(name).ok_or_else(|| anyhow::anyhow!("`{name}` is missing; it is a text"))
    };
    match &*call.name {
        "submit" => {
            let words = ["taskloom".to_owned(), "submit".to_owned(), "--repo".to_owned()];
            let words = words.into_iter().chain([needed("repo")?, needed("graph")?]);
            let Command::Submit(args) = Cli::try_parse_from(words)?.command else {
                anyhow::bail!("`submit` is not understood");
            };
            Ok(run::serve::submitted(common, &args).await?.sentence)
        }
        "status" => Ok(inspect::status_of(common, argument("run").as_deref()).await?.1),
        "why" => Ok(inspect::reason_of(common, &needed("task")?).await?.1),
        "inbox" => Ok(inspect::shelf::inbox_of(common).await?.1),
        other => anyhow::bail!("there is no tool `{other}`"),
    }
}
