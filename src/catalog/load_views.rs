//! Which view columns stand for which table columns, read from the views' parse trees.
//! Owns: the reader of `pg_node_tree` text, as far as target lists go; the way down chains of views.
//! Invariant: a view column has one origin at most, so a chain is a path; a path that runs in a circle leads nowhere.

use std::collections::{BTreeMap, HashMap};

use super::load::{LoadError, LoadedRows, QueryName};
use super::load_relations::Relations;
use crate::name::{ColumnName, QualifiedName};

/// An exposed view and the tables it shows.
#[derive(Debug)]
pub struct TracedView {
    pub oid: u32,
    pub name: QualifiedName,
    /// Table oid → its column → the names under which the view shows it, in the view's order.
    pub tables: BTreeMap<u32, HashMap<i16, Vec<ColumnName>>>,
}

/// A column of a relation that may be a view.
type Place = (u32, i16);

/// Follows every column of every exposed view down to its table.
pub fn views(results: &LoadedRows, relations: &Relations) -> Result<Vec<TracedView>, LoadError> {
    let mut exposed = Vec::new();
    let mut origins: HashMap<Place, Place> = HashMap::new();
    for mut row in results.rows(QueryName::Views)? {
        let oid = row.oid()?;
        let name = QualifiedName::new(row.text()?, row.text()?);
        let is_exposed = row.boolean()?;
        let targets = parse_targets(row.text()?);
        origins.extend(targets.iter().map(|target| ((oid, target.column), target.origin)));
        if is_exposed {
            exposed.push((oid, name, targets));
        }
    }
    exposed.sort_by(|(_, name, _), (_, other, _)| name.cmp(other));
    let traced = exposed.into_iter().filter_map(|(oid, name, targets)| {
        let columns = &relations.get(&oid)?.columns;
        let mut tables: BTreeMap<u32, HashMap<i16, Vec<ColumnName>>> = BTreeMap::new();
        for target in &targets {
            // A view's columns are never dropped, so its numbers count them; later ones are sort keys out of sight.
            let shown = usize::try_from(target.column).ok().and_then(|number| columns.get(number.checked_sub(1)?));
            let (Some(shown), Some((table, number))) = (shown, descend(&origins, target.origin)) else { continue };
            tables.entry(table).or_default().entry(number).or_default().push(shown.name.clone());
        }
        Some(TracedView { oid, name, tables })
    });
    Ok(traced.collect())
}

/// The place at the bottom of a chain of views.
fn descend(origins: &HashMap<Place, Place>, from: Place) -> Option<Place> {
    let mut place = from;
    for _ in 0..CHAIN_MAX {
        match origins.get(&place) {
            Some(&below) => place = below,
            None => return Some(place),
        }
    }
    None
}

/// Views above one another that are followed; PostgreSQL itself gives up on far fewer when it rewrites a query.
const CHAIN_MAX: usize = 1000;

/// One entry of a view's target list that is a plain column of some relation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    pub column: i16,
    pub origin: Place,
}

/// Reads the target list of a rule's query: `({QUERY … :targetList ({TARGETENTRY … :resno 1 … :resorigtbl 16400
/// :resorigcol 1 …} …) …})`. Expressions, subqueries and anything else below it are passed over by their depth.
pub fn parse_targets(tree: &str) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut tokens = Tokens { rest: tree };
    let mut depth = 0_usize;
    let mut in_targets = false;
    let mut entry = Entry::default();
    while let Some(token) = tokens.next() {
        match token {
            "{" => {
                depth += 1;
                if depth == ENTRY_DEPTH {
                    entry = Entry::default();
                }
            }
            "}" => {
                if in_targets && depth == ENTRY_DEPTH {
                    targets.extend(entry.target());
                }
                depth = depth.saturating_sub(1);
            }
            field if depth == QUERY_DEPTH && field.starts_with(':') => in_targets = field == ":targetList",
            field if in_targets && depth == ENTRY_DEPTH && field.starts_with(':') => match field {
                ":resno" => entry.column = tokens.number(),
                ":resorigtbl" => entry.table = tokens.number(),
                ":resorigcol" => entry.table_column = tokens.number(),
                _ => {}
            },
            _ => {}
        }
    }
    targets
}

const QUERY_DEPTH: usize = 1;
const ENTRY_DEPTH: usize = 2;

#[derive(Default)]
struct Entry {
    column: Option<i16>,
    table: Option<u32>,
    table_column: Option<i16>,
}

impl Entry {
    fn target(&self) -> Option<Target> {
        let table = self.table.filter(|&oid| oid != 0)?;
        Some(Target { column: self.column?, origin: (table, self.table_column?) })
    }
}

/// Splits node text as PostgreSQL's own reader does: braces and parentheses stand alone, a backslash takes the
/// character after it out of play, white space separates.
struct Tokens<'t> {
    rest: &'t str,
}

impl Tokens<'_> {
    fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        let before = self.rest;
        let number = self.next().and_then(|token| token.parse().ok());
        if number.is_none() {
            self.rest = before;
        }
        number
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let text = self.rest.trim_start_matches([' ', '\n', '\t']);
        let mut escaped = false;
        let mut end = text.len();
        for (at, character) in text.char_indices() {
            if escaped {
                escaped = false;
                continue;
            }
            match character {
                '\\' => escaped = true,
                '{' | '}' | '(' | ')' => {
                    end = if at == 0 { 1 } else { at };
                    break;
                }
                ' ' | '\n' | '\t' => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        let (token, rest) = text.split_at_checked(end)?;
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_lists_are_read_at_their_own_depth() {
        let check = |tree: &str, expect: &[(i16, u32, i16)]| {
            let expect: Vec<Target> =
                expect.iter().map(|&(column, table, number)| Target { column, origin: (table, number) }).collect();
            assert_eq!(parse_targets(tree), expect, "{tree}");
        };
        let entry = |resno: i16, table: u32, column: i16| {
            format!(
                "{{TARGETENTRY :expr {{VAR :varno 3 :resno 9 :resorigtbl 9 :resorigcol 9}} :resno {resno} :resname n\\ \\{{ \
                 :ressortgroupref 0 :resorigtbl {table} :resorigcol {column} :resjunk false}}"
            )
        };
        let query = |targets: &str| {
            format!(
                "({{QUERY :commandType 1 :cteList ({{COMMONTABLEEXPR :ctequery {{QUERY :targetList ({}) :groupClause <>}}}}) \
                 :targetList ({targets}) :override 0 :returningList <> :groupClause ({{SORTGROUPCLAUSE :resno 5 :resorigtbl 5 :resorigcol 5}})}})",
                entry(7, 7, 7)
            )
        };
        check("<>", &[]);
        check("", &[]);
        check(&query("<>"), &[]);
        check(&query(&entry(1, 16_400, 2)), &[(1, 16_400, 2)]);
        check(&query(&format!("{} {}", entry(1, 16_400, 2), entry(2, 0, 0))), &[(1, 16_400, 2)]);
        check(&query(&format!("{}{}", entry(1, 1, 1), entry(2, 1, 1))), &[(1, 1, 1), (2, 1, 1)]);
    }

    #[test]
    fn broken_trees_end_quietly() {
        for tree in
            ["}}}} {", "({QUERY :targetList ({TARGETENTRY :resno", "({QUERY :targetList ({T :resno x})})", "\\", "a\\"]
        {
            assert_eq!(parse_targets(tree), []);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_tree_makes_it_panic(tree in "([{}() \\\\]|QUERY|TARGETENTRY|:targetList|:resno|:resorigtbl|:resorigcol|[0-9]{1,6}|.){0,60}") {
            for target in parse_targets(&tree) {
                proptest::prop_assert_ne!(target.origin.0, 0);
            }
        }
    }

    #[test]
    fn chains_end_at_the_table_and_circles_nowhere() {
        let origins = HashMap::from([((3, 1), (2, 4)), ((2, 4), (1, 2)), ((8, 1), (9, 1)), ((9, 1), (8, 1))]);
        assert_eq!(descend(&origins, (3, 1)), Some((1, 2)));
        assert_eq!(descend(&origins, (1, 7)), Some((1, 7)));
        assert_eq!(descend(&origins, (8, 1)), None);
    }
}
