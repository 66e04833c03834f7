//! The files of `contrib/` speak of metrics that there are.

use std::collections::BTreeSet;

use crate::exposition::Page;
use crate::process::{Process, get};
use crate::{ANON, cluster, options};

const DASHBOARD: &str = include_str!("../../contrib/grafana/trunkline.json");
const ALERTS: &str = include_str!("../../contrib/prometheus/alerts.yml");

/// Words that look like metrics of ours.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let ours = |word: &&str| {
        ["trunkline_", "pgrst_", "process_"].iter().any(|prefix| word.starts_with(prefix)) && !word.ends_with('_')
    };
    words.filter(ours).collect()
}

#[test]
fn dashboard_and_alerts_name_metrics_that_there_are() {
    let cluster = cluster();
    let process = Process::start(&options(&cluster, ANON));
    let page = get(process.admin, "/metrics").unwrap().text();
    assert!(Page::parse(&page).is_ok());
    let known: BTreeSet<&str> = page.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    for text in [DASHBOARD, ALERTS] {
        let named = metrics(text);
        assert!(named.len() > 5, "{named:?}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).expect("the dashboard is JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 10));
}
