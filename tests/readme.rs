//! The read language of README.md: each example is asked of the sample database and must answer as the page says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/process.rs"]
mod process;

use process::{Options, Process, ask};
use serde_json::Value;
use std::net::TcpStream;
use trunkline::server::demo::Demo;

const FENCE: &str = "```";
const FEWEST_EXAMPLES: usize = 15;

/// A line that begins with `GET /`, and what follows it up to an empty line or the block's end.
struct Example {
    target: String,
    answer: String,
}

fn examples(page: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut blocks = page.split(FENCE);
    while let (Some(_), Some(block)) = (blocks.next(), blocks.next()) {
        let Some(block) = block.strip_prefix("text\n") else { continue };
        for part in block.split("\n\n") {
            let Some((first, answer)) = part.trim_start().split_once('\n') else { continue };
            if let Some(target) = first.strip_prefix("GET ") {
                found.push(Example { target: target.to_owned(), answer: answer.to_owned() });
            }
        }
    }
    found
}

#[test]
fn what_the_page_says() {
    let demo = Demo::prepare().unwrap();
    let config = format!(
        "db-uri = \"{}\"\ndb-schemas = \"toolshed\"\ndb-anon-role = \"web_anon\"\ndb-aggregates-enabled = true\n",
        demo.db_uri()
    );
    let server = Process::start(&Options { config, ..Options::default() });
    let page = include_str!("../README.md");
    let examples = examples(page);
    assert!(examples.len() >= FEWEST_EXAMPLES, "only {} examples found", examples.len());
    let mut wrong = Vec::new();
    for Example { target, answer } in &examples {
        let reply = ask(TcpStream::connect(server.api).unwrap(), target).unwrap();
        let got: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("{target}: {}", reply.text()));
        if serde_json::from_str::<Value>(answer).ok().as_ref() != Some(&got) {
            wrong.push(format!("GET {target}\n{}", reply.text()));
        }
    }
    assert!(wrong.is_empty(), "these answer otherwise:\n{}", wrong.join("\n\n"));
}

#[test]
fn examples_are_found_in_their_blocks_only() {
    let page = "GET /no\n[1]\n```text\nGET /a\n[1,\n2]\n\nGET /b\n{}\n```\ntext\n```sh\nGET /c\n[]\n```\n";
    let found: Vec<_> = examples(page).into_iter().map(|example| (example.target, example.answer)).collect();
    let expect = [("/a", "[1,\n2]"), ("/b", "{}\n")].map(|(target, answer)| (target.to_owned(), answer.to_owned()));
    assert_eq!(found, expect);
}
