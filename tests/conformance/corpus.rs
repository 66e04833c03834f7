//! The recorded cases and the lists beside them, read from files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::json::{self, Json};

/// The corpus has two halves, run in this order: no case of the first changes the database.
const HALVES: [&str; 2] = ["read", "write"];

/// One line of a case file.
pub struct Case {
    pub id: String,
    /// Half and file: `read/filters`.
    pub area: String,
    /// What is asked in turn: the steps, or the case itself.
    pub requests: Vec<Json>,
    pub has_steps: bool,
}

/// The cases that share a server, in order.
pub struct Group {
    pub half: &'static str,
    pub name: String,
    /// The group's entry of `configs.json`.
    pub settings: Json,
    pub cases: Vec<Case>,
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// All cases below `folder`, by group in order of appearance.
pub fn load(folder: &Path) -> Result<Vec<Group>, String> {
    let mut groups: Vec<Group> = Vec::new();
    let mut seen = BTreeSet::new();
    for half in HALVES {
        let configs = json::parse(&read(&folder.join(half).join("configs.json"))?)?;
        for file in case_files(&folder.join(half).join("cases"))? {
            let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let area = format!("{half}/{stem}");
            for (index, line) in read(&file)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let place = || format!("{}, line {}", file.display(), index + 1);
                let value = json::parse(line).map_err(|error| format!("{}: {error}", place()))?;
                let (case, group) = case_of(&value, &area).ok_or_else(|| format!("{}: no id or config", place()))?;
                if !seen.insert(case.id.clone()) {
                    return Err(format!("two cases are called {}", case.id));
                }
                match groups.iter_mut().find(|known| known.half == half && known.name == group) {
                    Some(known) => known.cases.push(case),
                    None => {
                        let settings =
                            configs.at(&group).ok_or_else(|| format!("{half}/configs.json has no {group}"))?;
                        groups.push(Group { half, name: group, settings: settings.clone(), cases: vec![case] });
                    }
                }
            }
        }
    }
    Ok(groups)
}

fn case_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    Ok(files)
}

/// A case and the name of its group.
fn case_of(value: &Json, area: &str) -> Option<(Case, String)> {
    let id = value.at("id")?.text()?.to_owned();
    let group = value.at("config")?.text()?.to_owned();
    let steps = value.at("steps").map(Json::items).unwrap_or_default();
    let requests = if steps.is_empty() { vec![value.clone()] } else { steps.to_vec() };
    Some((Case { id, area: area.to_owned(), requests, has_steps: !steps.is_empty() }, group))
}

/// The ids of `EXPECTED`: one per line.
pub fn expected(path: &Path) -> Result<BTreeSet<String>, String> {
    if !path.exists() {
        return Ok(BTreeSet::new());
    }
    Ok(read(path)?.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// The ids that `DIFFERENCES.md` names in backquotes.
pub fn differences(path: &Path) -> Result<BTreeSet<String>, String> {
    if !path.exists() {
        return Ok(BTreeSet::new());
    }
    let text = read(path)?;
    let is_id =
        |word: &&str| HALVES.iter().any(|half| word.strip_prefix(half).is_some_and(|rest| rest.starts_with('/')));
    let spaceless = |word: &&str| !word.contains(char::is_whitespace);
    Ok(text.split('`').skip(1).step_by(2).filter(is_id).filter(spaceless).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("trunkline-corpus-{name}-{}", std::process::id()));
        for half in HALVES {
            fs::create_dir_all(folder.join(half).join("cases")).expect("folder");
            fs::write(folder.join(half).join("configs.json"), r#"{"a": {"db-pool": 1}, "b": {}}"#).expect("file");
        }
        folder
    }

    #[test]
    fn cases_are_grouped_in_order() {
        let folder = folder("order");
        let lines = [
            r#"{"id": "read/x/1", "config": "b", "path": "/"}"#,
            "",
            r#"{"id": "read/x/2", "config": "a", "steps": [{"path": "/1"}, {"path": "/2"}]}"#,
            r#"{"id": "read/x/3", "config": "b", "path": "/"}"#,
        ];
        fs::write(folder.join("read/cases/x.jsonl"), lines.join("\n")).expect("file");
        let groups = load(&folder).expect("a corpus");
        let shape: Vec<_> = groups.iter().map(|group| (group.name.as_str(), group.cases.len())).collect();
        assert_eq!(shape, [("b", 2), ("a", 1)]);
        assert_eq!((groups[1].cases[0].requests.len(), groups[1].cases[0].has_steps), (2, true));
        assert_eq!(groups[1].cases[0].area, "read/x");
        assert_eq!(groups[1].settings.at("db-pool").map(Json::to_string).as_deref(), Some("1"));
        fs::remove_dir_all(folder).expect("removal");
    }

    #[test]
    fn a_corpus_with_a_mistake_is_refused() {
        let folder = folder("mistakes");
        let check = |line: &str, expect: &str| {
            fs::write(folder.join("write/cases/x.jsonl"), line).expect("file");
            let error = load(&folder).err().expect("an error");
            assert!(error.contains(expect), "{line}: {error}");
        };
        check("{", "x.jsonl, line 1");
        check(r#"{"id": "x"}"#, "no id or config");
        check(r#"{"id": "x", "config": "c"}"#, "has no c");
        check("{\"id\": \"x\", \"config\": \"a\"}\n{\"id\": \"x\", \"config\": \"a\"}", "two cases are called x");
        fs::remove_dir_all(folder).expect("removal");
    }

    #[test]
    fn lists_of_ids() {
        let folder = folder("lists");
        let path = folder.join("list");
        assert!(expected(&path).expect("a list").is_empty());
        fs::write(&path, "read/a/1\n\n write/b/2 \n").expect("file");
        assert_eq!(expected(&path).expect("a list").into_iter().collect::<Vec<_>>(), ["read/a/1", "write/b/2"]);
        fs::write(&path, "- `read/a/1`, `write/b/2`: since `reading/x` and `read/ y` are none; read/c/3 neither")
            .expect("file");
        assert_eq!(differences(&path).expect("a list").into_iter().collect::<Vec<_>>(), ["read/a/1", "write/b/2"]);
        fs::remove_dir_all(folder).expect("removal");
    }
}
