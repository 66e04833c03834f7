//! A strict reader of Prometheus' text format, version 0.0.4: what it refuses, Prometheus would refuse or warn of.

use std::collections::{BTreeMap, BTreeSet};

/// A page that was read in full.
#[derive(Debug)]
pub struct Page {
    /// Name, labels as they stand between the braces, value.
    samples: Vec<(String, String, f64)>,
}

impl Page {
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.ends_with('\n') {
            return Err("the last line does not end".to_owned());
        }
        let mut kinds: BTreeMap<String, String> = BTreeMap::new();
        let mut helped = BTreeSet::new();
        let mut finished = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut family = String::new();
        let mut samples = Vec::new();
        for line in text.lines() {
            let complain = |what: &str| Err(format!("{what}: {line}"));
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let name = rest.split(' ').next().unwrap_or_default();
                if !is_name(name) || !helped.insert(name.to_owned()) {
                    return complain("a bad or second HELP");
                }
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let Some((name, kind)) = rest.split_once(' ') else { return complain("no type") };
                if !["counter", "gauge", "histogram"].contains(&kind) {
                    return complain("an unknown type");
                }
                if kinds.insert(name.to_owned(), kind.to_owned()).is_some() || finished.contains(name) {
                    return complain("a second TYPE");
                }
                finished.insert(std::mem::replace(&mut family, name.to_owned()));
            } else {
                let (name, labels, value) = sample(line).ok_or_else(|| format!("no sample: {line}"))?;
                if family_of(&name, &kinds) != Some(family.as_str()) {
                    return complain("a sample outside its family");
                }
                if kinds.get(&family).is_some_and(|kind| kind == "counter")
                    && (value < 0.0 || !name.ends_with("_total"))
                {
                    return complain("not a counter");
                }
                if !seen.insert((name.clone(), labels.clone())) {
                    return complain("a second sample of the series");
                }
                samples.push((name, labels, value));
            }
        }
        let page = Self { samples };
        for (name, _) in kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            page.check_histogram(name)?;
        }
        Ok(page)
    }

    /// Of all samples with that name whose labels hold `label`.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let matching: Vec<f64> = self
            .samples
            .iter()
            .filter(|(known, labels, _)| known == name && labels.contains(label))
            .map(|(_, _, value)| *value)
            .collect();
        assert!(!matching.is_empty(), "there is no {name} with {label}");
        matching.iter().sum()
    }

    fn check_histogram(&self, name: &str) -> Result<(), String> {
        let bucket_name = format!("{name}_bucket");
        let buckets = self.samples.iter().filter(|(known, _, _)| *known == bucket_name);
        let bounds: Vec<(f64, f64)> = buckets
            .map(|(_, labels, count)| {
                let bound = labels.strip_prefix("le=\"").and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
                (if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap_or(f64::NAN) }, *count)
            })
            .collect();
        let ordered = bounds.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        let last = bounds.last().copied().unwrap_or((0.0, 0.0));
        if !ordered || last.0 != f64::INFINITY || (last.1 - self.sum(&format!("{name}_count"), "")).abs() > 0.0 {
            return Err(format!("{name}'s buckets don't add up: {bounds:?}"));
        }
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_' || first == ':');
    first && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':')
}

/// The histogram that a `_bucket`, `_sum` or `_count` belongs to, or the name itself.
fn family_of<'k>(name: &str, kinds: &'k BTreeMap<String, String>) -> Option<&'k str> {
    let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    let of_histogram = histogram.filter(|stem| kinds.get(*stem).is_some_and(|kind| kind == "histogram"));
    kinds.get_key_value(of_histogram.unwrap_or(name)).map(|(known, _)| known.as_str())
}

fn sample(line: &str) -> Option<(String, String, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let good = |label: &str| {
        label.split_once('=').is_some_and(|(name, value)| {
            is_name(name) && value.len() >= 2 && value.starts_with('"') && value.ends_with('"')
        })
    };
    let labels_good = labels.is_empty() || labels.split(',').all(good);
    (is_name(name) && labels_good).then_some(())?;
    Some((name.to_owned(), labels.to_owned(), value.parse().ok()?))
}

#[test]
fn what_prometheus_would_refuse_is_refused() {
    let good = "# HELP a_total x\n# TYPE a_total counter\na_total{l=\"1\"} 2\n";
    assert!(Page::parse(good).is_ok());
    for bad in [
        "a_total 1\n",
        "# TYPE a_total counter\na_total 1",
        "# TYPE a counter\na 1\n",
        "# TYPE a_total counter\na_total -1\n",
        "# TYPE a_total counter\na_total{l=1} 1\n",
        "# TYPE a_total counter\na_total 1\na_total 2\n",
        "# TYPE a_total counter\na_total one\n",
        "# TYPE a gauge\n# TYPE b gauge\nb 1\na 1\n",
        "# TYPE a thing\na 1\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
    ] {
        assert!(Page::parse(bad).is_err(), "{bad}");
    }
}
