//! Keeps what a reviewer should not have to look for: import edges, lengths, headers, banned words, docs in step.
//! Every complaint says the remedy. Each check is a function from text to complaints with a test of its own.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic)] // A test harness: its panics are its reports.

#[path = "tidy/lexer.rs"]
mod lexer;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lexer::{Source, has_word};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

/// Every stage may import these.
const BASE: &[&str] = &["limits", "name", "media", "error"];

/// What a stage (or, before it in the list, a file of it) may import besides `BASE` and itself: a module, or one path of
/// it. `*` is everything. A new edge is a commit of its own, with the reason in `ARCHITECTURE.md`.
const EDGES: &[(&str, &[&str])] = &[
    ("catalog/load", &["wire", "rt"]),
    ("limits", &[]),
    ("name", &[]),
    ("media", &[]),
    ("error", &[]),
    ("sys", &[]),
    ("rt", &["sys"]),
    ("http", &["rt"]),
    ("request", &["http"]),
    // Tokens and keys are JSON.
    ("auth", &["json::value", "json::decimal"]),
    ("catalog", &[]),
    ("plan", &["request", "catalog"]),
    // A plan is made of what was asked and of what the catalog found: whoever reads plans reads those.
    ("sql", &["plan", "json", "request", "catalog"]),
    ("wire", &["rt", "sys"]),
    ("json", &["wire::row", "catalog::pg_type", "sql::Leading", "sys"]),
    ("respond", &["plan", "request", "json", "wire::row", "wire::db_error", "http", "catalog"]),
    ("pool", &["wire", "rt", "observe"]),
    // Keys and the role's path are parsed while options are checked, once.
    ("config", &["auth", "json::decimal"]),
    ("observe", &["config::LogLevel"]),
    ("serve", &["*"]),
    ("server", &["*"]),
];

/// Words that do not occur in code (strings and comments aside), where they may all the same, and what to do instead.
const BANNED: &[(&str, &[&str], &str)] = &[
    ("todo!", &[], "write it, or leave it out"),
    ("unimplemented!", &[], "write it, or leave it out"),
    ("dbg!", &[], "take it out"),
    ("#[ignore", &[], "a test that is not run proves nothing: make it run, or delete it"),
    ("unsafe", &["src/sys", "tests/alloc.rs"], "move it to src/sys, with its SAFETY comment and safe twin"),
    ("monoio", &["src/rt"], "use what src/rt.rs offers, or add it there"),
    (
        "thread::sleep",
        &[
            "src/wire/connect.rs",
            "src/wire/cancel.rs",
            "src/wire/tls.rs",
            "src/server/connector.rs",
            "src/server/acceptor.rs",
            "tests",
            "bench",
            "fuzz",
        ],
        "wait for the event itself, or use rt::sleep on a loop",
    ),
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["mod", "utils", "util", "helpers", "common", "types", "misc"];

/// Where the tracked text is, and which ends of names hold text.
const TEXT_FOLDERS: &[&str] = &["src", "tests", "bench", "fuzz", "scripts", "loadtest", "perf", "docs", ".ci"];
const TEXT_ENDS: &[&str] = &["rs", "md", "toml", "sql", "sh", "py", "lua", "js", "json", "yml", "yaml", "txt", "conf"];

fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).expect("cargo says where the package is")
}

/// The files below a folder, sorted; build products aside.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && !["target", ".git", ".work", "corpus", "artifacts"].iter().any(|skipped| name == *skipped) {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A path as the tables above have it.
fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

fn rust_files(folders: &[&str]) -> Vec<(String, Source)> {
    let all = folders.iter().flat_map(|folder| files(&root().join(folder)));
    let rust = all.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let read = |path: PathBuf| (relative(&path), Source::of(&fs::read_to_string(&path).expect("text")));
    mark_tests(rust.map(read).collect())
}

/// Files of modules that are declared behind `#[cfg(test)]` are tests as a whole, and so is what is below them.
fn mark_tests(mut files: Vec<(String, Source)>) -> Vec<(String, Source)> {
    let mut modules = Vec::new();
    for (file, source) in &files {
        let folder = file.trim_end_matches(".rs").trim_end_matches("/lib").trim_end_matches("/main");
        modules.extend(source.test_modules().into_iter().map(|name| format!("{folder}/{name}")));
    }
    for (file, source) in &mut files {
        let below =
            |module: &String| file.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with(['/', '.']));
        if modules.iter().any(below) {
            source.mark_as_tests();
        }
    }
    files
}

fn report(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "{} complaint(s):\n{}\n", complaints.len(), complaints.join("\n"));
}

/// `src/wire/frame.rs` → `wire/frame`.
fn module_of(file: &str) -> Option<&str> {
    let module = file.strip_prefix("src/")?.strip_suffix(".rs")?;
    (!["lib", "main"].contains(&module)).then_some(module)
}

/// The edges of a module: those of the longest prefix in the table.
fn edges_of(module: &str) -> Option<&'static [&'static str]> {
    let matching = EDGES.iter().filter(|(name, _)| {
        let rest = module.strip_prefix(name);
        // `catalog/load` stands for `catalog/load_views` too; a stage's name ends at a slash.
        rest.is_some_and(|rest| name.contains('/') || rest.is_empty() || rest.starts_with('/'))
    });
    matching.max_by_key(|(name, _)| name.len()).map(|(_, edges)| *edges)
}

fn edge_complaints(file: &str, source: &Source) -> Vec<String> {
    let Some(module) = module_of(file) else { return Vec::new() };
    let stage = module.split('/').next().unwrap_or_default();
    let Some(edges) = edges_of(module) else {
        return vec![format!("{file}: the stage {stage} has no line in EDGES: add one to tests/tidy.rs")];
    };
    let allowed = |path: &str| {
        let target = path.split("::").next().unwrap_or_default();
        let under =
            |edge: &&&str| path == **edge || path.strip_prefix(**edge).is_some_and(|rest| rest.starts_with("::"));
        target == stage || BASE.contains(&target) || edges.contains(&"*") || edges.iter().any(|edge| under(&edge))
    };
    let paths: BTreeSet<String> = source.crate_paths().into_iter().filter(|path| !allowed(path)).collect();
    let say = |path| {
        format!(
            "{file}: {stage} may not import crate::{path}: pass what is needed as an argument, or move the item to its stage"
        )
    };
    paths.into_iter().map(say).collect()
}

fn length_complaints(file: &str, source: &Source) -> Vec<String> {
    let mut out = Vec::new();
    let lines = source.lines_without_tests();
    if lines > FILE_LINES_MAX {
        out.push(format!(
            "{file}: {lines} lines without tests, at most {FILE_LINES_MAX}: split it where a name appears"
        ));
    }
    for (name, line, length) in source.functions() {
        if length > FUNCTION_LINES_MAX {
            out.push(format!(
                "{file}:{line}: fn {name} has {length} lines, at most {FUNCTION_LINES_MAX}: keep the branching, move straight-line work out"
            ));
        }
    }
    out
}

fn shape_complaints(file: &str, source: &Source) -> Vec<String> {
    let mut out = Vec::new();
    if !source.text.trim_start().starts_with("//!") {
        out.push(format!("{file}: no header: begin with `//!` and what the file does, owns, must not know"));
    }
    let stem = file.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or_default();
    if EMPTY_NAMES.contains(&stem) {
        out.push(format!(
            "{file}: the name says nothing: name it after what it holds (`x.rs` beside `x/`, never mod.rs)"
        ));
    }
    for (number, line) in source.code_without_tests().lines().enumerate() {
        let line = line.trim();
        let import = line.starts_with("use ") || line.starts_with("pub use ") || line.starts_with("pub(crate) use ");
        if import && ["::*;", "::*,", "::*}", "{*"].iter().any(|glob| line.contains(glob)) {
            out.push(format!("{file}:{}: glob import: name what is used", number + 1));
        }
    }
    out
}

fn banned_complaints(file: &str, source: &Source) -> Vec<String> {
    let mut out = Vec::new();
    for (number, line) in source.code.lines().enumerate() {
        for (word, places, remedy) in BANNED {
            if has_word(line, word) && !places.iter().any(|place| file.starts_with(place)) {
                out.push(format!("{file}:{}: `{word}`: {remedy}", number + 1));
            }
        }
    }
    out
}

/// Paths that exist on the machine of whoever wrote the file and nowhere else.
fn machine_path_complaints(file: &str, text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for folder in ["work", "root", "home"] {
            let needle = format!("/{folder}/");
            // `frame/work/` or `https://host/home/` is no path of a machine's.
            let alone = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.}/~".contains(c));
            if line.match_indices(&needle).any(|(at, _)| alone(at)) {
                out.push(format!(
                    "{file}:{}: {needle}… is a path of one machine: say it relative to the repository",
                    number + 1
                ));
            }
        }
    }
    out
}

/// A line of a `[…dependencies]` table needs a comment right above it or at its end.
fn dependency_complaints(file: &str, manifest: &str) -> Vec<String> {
    let (mut out, mut inside, mut said) = (Vec::new(), false, false);
    for (number, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && line.contains('=') && !line.contains('#') && !said {
            let name = line.split('=').next().unwrap_or_default().trim();
            out.push(format!("{file}:{}: {name}: say in a comment above it why it is there", number + 1));
        }
        said = line.starts_with('#');
    }
    out
}

/// Strings that look like names of options, which the README must list.
fn option_complaints(file: &str, source: &Source, readme: &str) -> Vec<String> {
    let first = ["admin", "app", "client", "db", "jwt", "log", "openapi", "server", "url"];
    let is_option = |text: &&str| {
        let words: Vec<&str> = text.split('-').collect();
        let plain =
            |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        words.len() > 1 && first.contains(&words[0]) && words.iter().all(plain)
    };
    let options: BTreeSet<&str> = source.strings_without_tests().into_iter().filter(is_option).collect();
    let missing = options.into_iter().filter(|option| !readme.contains(&format!("`{option}`")));
    missing.map(|option| format!("{file}: the option {option} is not in README.md: add it to the table")).collect()
}

#[test]
fn imports_go_one_way() {
    report(rust_files(&["src"]).iter().flat_map(|(file, source)| edge_complaints(file, source)).collect());
}

#[test]
fn files_and_functions_are_short() {
    report(rust_files(&["src", "bench"]).iter().flat_map(|(file, source)| length_complaints(file, source)).collect());
}

#[test]
fn files_open_with_what_they_are() {
    report(rust_files(&["src"]).iter().flat_map(|(file, source)| shape_complaints(file, source)).collect());
}

#[test]
fn nothing_banned_is_used() {
    let files = rust_files(&["src", "tests", "bench", "fuzz"]);
    report(files.iter().flat_map(|(file, source)| banned_complaints(file, source)).collect());
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let mut paths: Vec<PathBuf> = TEXT_FOLDERS.iter().flat_map(|folder| files(&root().join(folder))).collect();
    paths.extend(
        fs::read_dir(root())
            .expect("the root")
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_file() && !path.ends_with(".git")),
    );
    let is_text = |path: &PathBuf| {
        path.extension().is_none_or(|end| TEXT_ENDS.iter().any(|known| end == *known))
            && path.file_name().is_some_and(|name| name != "tidy.rs")
    };
    let complaints = paths.iter().filter(|path| is_text(path)).flat_map(|path| {
        let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        machine_path_complaints(&relative(path), &text)
    });
    report(complaints.collect());
}

#[test]
fn dependencies_say_why() {
    let manifests = ["Cargo.toml", "bench/Cargo.toml", "fuzz/Cargo.toml"];
    let read = |file: &&str| fs::read_to_string(root().join(file)).ok().map(|text| dependency_complaints(file, &text));
    report(manifests.iter().filter_map(read).flatten().collect());
}

#[test]
fn the_readme_lists_every_option() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let files = rust_files(&["src"]).into_iter().filter(|(file, _)| file.starts_with("src/config"));
    report(files.flat_map(|(file, source)| option_complaints(&file, &source, &readme)).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a check says of a text: the start of each complaint after the file's name.
    fn check(found: Vec<String>, expect: &[&str]) {
        assert_eq!(found.len(), expect.len(), "{found:#?}");
        for (complaint, part) in found.iter().zip(expect) {
            assert!(complaint.contains(part), "{part:?} is not in {complaint:?}");
        }
    }

    #[test]
    fn edges() {
        let edges = |file: &str, code: &str| edge_complaints(file, &Source::of(code));
        check(edges("src/wire/frame.rs", "use crate::limits;\nuse crate::rt::Stream;\nuse crate::wire::conn;"), &[]);
        check(edges("src/wire/frame.rs", "use crate::http::Head;"), &["wire may not import crate::http::Head"]);
        check(edges("src/wire.rs", "fn f() { crate::json::row::write() }"), &["crate::json::row"]);
        check(edges("src/http.rs", "use crate::{limits, rt, request::Filter};"), &["crate::request::Filter"]);
        check(edges("src/http.rs", "use crate::{\n    limits,\n    wire::{self, conn},\n};"), &["crate::wire"]);
        check(edges("src/json/row.rs", "use crate::wire::row::DataRow;"), &[]);
        check(edges("src/json/row.rs", "use crate::wire::rowdy::DataRow;"), &["crate::wire::rowdy"]);
        check(edges("src/json/row.rs", "use crate::wire::conn::Busy;"), &["crate::wire::conn"]);
        check(edges("src/catalog/load_views.rs", "use crate::wire::conn::Busy;"), &[]);
        check(edges("src/catalog/infer.rs", "use crate::wire::conn::Busy;"), &["catalog may not"]);
        check(edges("src/serve/request.rs", "use crate::wire::conn::Busy;"), &[]);
        check(edges("src/newcomer.rs", ""), &["newcomer has no line in EDGES"]);
        check(edges("src/main.rs", "use crate::anything;"), &[]);
        check(edges("src/wire.rs", "// use crate::http;\nconst S: &str = \"crate::http::x\";"), &[]);
        check(edges("src/wire.rs", "#[cfg(test)]\nmod tests {\n    use crate::http::Head;\n}"), &[]);
    }

    #[test]
    fn files_that_are_tests_as_a_whole() {
        let file = |name: &str, code: &str| (name.to_owned(), Source::of(code));
        let files = mark_tests(vec![
            file("src/lib.rs", "#[cfg(test)]\nmod oracle;"),
            file("src/oracle.rs", "use crate::x;"),
            file("src/wire.rs", "#[cfg(test)]\npub(crate) mod tests;\nmod frame;\nuse crate::x;"),
            file("src/wire/tests.rs", "use crate::x;"),
            file("src/wire/tests/deep.rs", "use crate::x;"),
            file("src/wire/frame.rs", "use crate::x;"),
            file("src/wire/tests_of_frames.rs", "use crate::x;"),
        ]);
        let checked: Vec<_> =
            files.iter().filter(|(_, source)| !source.crate_paths().is_empty()).map(|(file, _)| file).collect();
        assert_eq!(checked, ["src/wire.rs", "src/wire/frame.rs", "src/wire/tests_of_frames.rs"]);
    }

    #[test]
    fn lengths() {
        let lengths = |code: &str| length_complaints("src/x.rs", &Source::of(code));
        let body = |lines: usize| "    x();\n".repeat(lines);
        check(lengths(&format!("fn a() {{\n{}}}\nfn b() {{}}", body(FUNCTION_LINES_MAX - 2))), &[]);
        check(
            lengths(&format!(
                "fn b() {{}}\npub fn a<T>(x: &str) -> T\nwhere T: X {{\n{}}}\n",
                body(FUNCTION_LINES_MAX)
            )),
            &[":2: fn a has 73"],
        );
        check(lengths(&format!("#[cfg(test)]\nmod tests {{\nfn a() {{\n{}}}\n}}", body(900))), &[]);
        check(lengths(&"const X: u8 = 1;\n".repeat(FILE_LINES_MAX + 1)), &["801 lines without tests"]);
        check(
            lengths(&format!(
                "trait T {{ fn a(); }}\nfn b(x: [u8; 4]) {{ let s = \"}}\"; let c = '}}'; /* }} */\n{}}}",
                body(80)
            )),
            &[":2: fn b has 82"],
        );
    }

    #[test]
    fn shapes() {
        let shapes = |file: &str, code: &str| shape_complaints(file, &Source::of(code));
        check(shapes("src/x.rs", "//! What it does.\nuse a::{b, c};\nlet y = a * b;"), &[]);
        check(shapes("src/x.rs", "use a::b;"), &["no header"]);
        check(shapes("src/x/mod.rs", "//! x"), &["name says nothing"]);
        check(shapes("src/helpers.rs", "//! x"), &["name says nothing"]);
        check(
            shapes("src/x.rs", "//! x\nuse a::*;\npub use b::{c::*, d};\nuse e::{*};"),
            &[":2: glob", ":3: glob", ":4: glob"],
        );
        check(shapes("src/x.rs", "//! x\n#[cfg(test)]\nmod tests {\n    use super::*;\n}"), &[]);
    }

    #[test]
    fn banned() {
        let banned = |file: &str, code: &str| banned_complaints(file, &Source::of(code));
        check(banned("src/x.rs", "fn f() { todo!() }\n\ndbg!(x);"), &[":1: `todo!`", ":3: `dbg!`"]);
        check(banned("tests/x.rs", "#[ignore = \"slow\"]\nfn f() {}"), &["`#[ignore`"]);
        check(banned("src/x.rs", "unsafe { f() }"), &["move it to src/sys"]);
        check(banned("src/sys/x.rs", "unsafe { f() }"), &[]);
        check(
            banned("src/x.rs", "#![deny(unsafe_code)]\n// unsafe\nlet s = \"todo!\"; let my_unsafe = r#\"dbg!\"#;"),
            &[],
        );
        check(banned("src/http/conn.rs", "use monoio::net::TcpStream;"), &["use what src/rt.rs offers"]);
        check(banned("src/rt/stream.rs", "use monoio::net::TcpStream;"), &[]);
        check(banned("src/pool.rs", "std::thread::sleep(x);"), &["wait for the event"]);
        check(banned("src/server/connector.rs", "std::thread::sleep(x);"), &[]);
    }

    #[test]
    fn machine_paths() {
        let paths = |text: &str| machine_path_complaints("x", text);
        check(paths("see /work/x, \"/root/y\" and `/home/me`"), &["/work/", "/root/", "/home/"]);
        check(paths("frame/work/x https://host.example/home/ $HOME/x /workshop/ ./home/x"), &[]);
    }

    #[test]
    fn dependencies() {
        let check_manifest = |text: &str, expect: &[&str]| check(dependency_complaints("Cargo.toml", text), expect);
        check_manifest("[package]\nname = \"x\"\n[dependencies]\n# Why.\na = \"1\"\nb = \"1\" # Why.\n", &[]);
        check_manifest(
            "[dependencies]\n# Why.\na = \"1\"\nb = \"1\"\n[dev-dependencies]\nc = \"1\"",
            &[":4: b", ":6: c"],
        );
    }

    #[test]
    fn options() {
        let options = |code: &str| option_complaints("src/config.rs", &Source::of(code), "| `db-pool` | x |");
        check(options("const A: &str = \"db-pool\";\nconst B: &str = \"a db-thing\";"), &[]);
        check(
            options("const A: &[&str] = &[\"server-port\", \"jwt-secret\", \"x-y\"];"),
            &["jwt-secret", "server-port"],
        );
        check(options("#[cfg(test)]\nmod tests { const A: &str = \"server-port\"; }"), &[]);
    }
}
