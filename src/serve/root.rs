//! The root: the OpenAPI document of a schema, as its role may see it.
//! Owns: the documents that a core keeps; they go with the published version they were made from.
//! PostgREST asks PostgreSQL and writes the document on every request. Here a role is asked for at most once in
//! `limits::DOCUMENT_ASKED_MS`, so a GRANT shows after that time without a reload; `db-pre-request` runs every time.
//! Limits: `limits::DOCUMENT_*`, `limits::DOCUMENTS_*`.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::payload::BodyValue;
use super::setup::{Setting, fill};
use super::transaction::{self, Form, Manner, Sink, Step, Want};
use super::{Core, Derived, Scene, ServeError, answer};
use crate::catalog::{Catalog, Relation, Routine};
use crate::config::{BindHost, Config, OpenApiMode};
use crate::http::Reply;
use crate::limits;
use crate::media::MediaType;
use crate::name::{QualifiedName, RoleName};
use crate::observe::timing::Stage;
use crate::plan::refusal::PlanError;
use crate::pool::Sharing;
use crate::request::BodyWanted;
use crate::respond::failure::Failure;
use crate::respond::head;
use crate::respond::openapi::{Builder, Frame, Security};
use crate::rt;
use crate::sql::setup::{Access, ResponseSettings, Values};
use crate::sql::visible::VISIBLE;
use crate::wire::row::{DataRow, RowDescription};

impl Core {
    pub(super) async fn root(
        &self,
        derived: &Derived,
        scene: &Scene<'_>,
        body: BodyWanted,
        reply: &mut Reply,
    ) -> Result<(), ServeError> {
        let accept = &scene.request.accept;
        if !accept.iter().any(is_offered) {
            return Err(PlanError::NotAcceptable { asked: accept.iter().map(ToString::to_string).collect() }.into());
        }
        let document = self.document(derived, scene, reply).await?;
        if body == BodyWanted::Full {
            let bytes_max = scene.config.max_response_bytes();
            if document.bytes.len() > bytes_max {
                return Err(Failure::ResponseTooLarge { bytes_max }.into());
            }
            reply.body().extend_from_slice(&document.bytes);
        }
        reply.head.set_status(200, None);
        reply.head.add("Content-Type", MediaType::OpenApi.content_type().as_bytes());
        if scene.request.negotiated_by_profile {
            reply.head.add("Content-Profile", scene.request.schema.as_bytes());
        }
        head::finish(&mut reply.head);
        Ok(())
    }

    async fn document(
        &self,
        derived: &Derived,
        scene: &Scene<'_>,
        reply: &mut Reply,
    ) -> Result<Rc<Document>, ServeError> {
        let (role, schema) = (&scene.identity.role, scene.request.schema.as_ref());
        let known = derived.documents.borrow().fresh(role, schema, Instant::now());
        if let Some(document) = known {
            if scene.config.db_pre_request.is_some() {
                self.ask(scene, Question::Admission, reply).await?;
            }
            return Ok(document);
        }
        let asked = Instant::now();
        let visible = match scene.config.openapi_mode {
            OpenApiMode::FollowPrivileges => Visible::Granted(self.ask(scene, Question::Privileges, reply).await?),
            OpenApiMode::IgnorePrivileges | OpenApiMode::Disabled => {
                self.ask(scene, Question::Admission, reply).await?;
                Visible::Everything
            }
        };
        let same = derived.documents.borrow().same(schema, &visible);
        let document = match same {
            Some(document) => document,
            None => {
                let bytes = write_document(scene, &visible).await;
                Rc::new(Document { schema: schema.to_owned(), visible, bytes })
            }
        };
        derived.documents.borrow_mut().keep(role, asked, &document);
        Ok(document)
    }

    /// Becomes the role, runs `db-pre-request`, and asks what the role may see where the question says so.
    async fn ask(&self, scene: &Scene<'_>, question: Question, reply: &mut Reply) -> Result<Granted, ServeError> {
        let mut setup_values = Values::default();
        let setting = Setting::of(scene, &[], ResponseSettings::Ignored);
        let shape = fill(&setting, Access::ReadOnly, &mut setup_values);
        let setup = self.setups.text(shape);
        let none = Values::default();
        let mut schema = Values::default();
        schema.push(scene.request.schema.as_bytes());
        let pre_request = answer::pre_request(scene);
        let mut steps =
            vec![Step { text: &setup, values: &setup_values, want: Want::Nothing, payload: BodyValue::NONE }];
        steps.extend(pre_request.as_deref().map(|text| Step {
            text,
            values: &none,
            want: Want::Nothing,
            payload: BodyValue::NONE,
        }));
        match question {
            Question::Admission => {}
            Question::Privileges => {
                steps.push(Step { text: VISIBLE, values: &schema, want: Want::Main, payload: BodyValue::NONE })
            }
        }
        let preparation = answer::preparation(scene);
        let manner = Manner { form: Form::Implicit, preparation, sharing: Sharing::Alone };
        let mut granted = Granted::default();
        scene.extras.observed.begin_transaction(&steps);
        transaction::run(&self.database.pool, &steps, manner, &mut granted, reply).await?;
        scene.extras.observed.clock.mark(Stage::Transaction);
        Ok(granted)
    }
}

/// Whether a client that accepts this takes the document.
fn is_offered(media: &MediaType) -> bool {
    matches!(media, MediaType::OpenApi | MediaType::Json | MediaType::Any)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    /// Whether there is such a role, and whether `db-pre-request` lets the request pass.
    Admission,
    /// What the role may see, too.
    Privileges,
}

/// What a document shows of its schema.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Visible {
    Everything,
    Granted(Granted),
}

/// What a role holds a privilege on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Granted {
    relations: Vec<String>,
    /// By oid, with the types of its input parameters in their order.
    routines: Vec<(u32, Vec<String>)>,
}

impl Sink for Granted {
    fn columns(&mut self, _fields: &Rc<RowDescription>) -> Result<(), ServeError> {
        *self = Self::default();
        Ok(())
    }

    fn row(&mut self, row: DataRow<'_>, _reply: &mut Reply) -> Result<(), ServeError> {
        let mut fields = row.fields().map(|field| field.and_then(|text| std::str::from_utf8(text).ok()));
        self.add(fields.next().flatten(), fields.next().flatten(), fields.next().flatten());
        Ok(())
    }

    async fn pause(&mut self, _reply: &mut Reply) -> Result<(), ServeError> {
        Ok(())
    }
}

impl Granted {
    /// Takes a row of `VISIBLE`.
    fn add(&mut self, relation: Option<&str>, routine: Option<&str>, type_name: Option<&str>) {
        self.relations.extend(relation.map(str::to_owned));
        let Some(oid) = routine.and_then(|oid| oid.parse::<u32>().ok()) else { return };
        let type_name = type_name.map(str::to_owned);
        match self.routines.last_mut() {
            Some((last, types)) if *last == oid => types.extend(type_name),
            Some(_) | None => self.routines.push((oid, type_name.into_iter().collect())),
        }
    }
}

impl Visible {
    /// By name.
    fn relations<'c>(&self, catalog: &'c Catalog, schema: &str) -> Vec<&'c Relation> {
        let mut relations: Vec<&Relation> = match self {
            Self::Everything => {
                let all = catalog.relations.values().map(AsRef::as_ref);
                all.filter(|relation: &&Relation| relation.name.schema.as_str() == schema).collect()
            }
            Self::Granted(granted) => {
                let named = |name: &String| catalog.relation(&QualifiedName::new(schema, name)).map(AsRef::as_ref);
                granted.relations.iter().filter_map(named).collect()
            }
        };
        relations.sort_by(|one, two| one.name.cmp(&two.name));
        relations
    }

    /// By name, overloads in the catalog's order; with types as the role's search path shows them.
    fn routines<'v>(&'v self, catalog: &'v Catalog, schema: &str) -> Vec<(&'v Routine, Option<&'v [String]>)> {
        match self {
            Self::Everything => {
                let mut named: Vec<_> =
                    catalog.routines.iter().filter(|(name, _)| name.schema.as_str() == schema).collect();
                named.sort_by_key(|&(name, _)| name);
                named.into_iter().flat_map(|(_, overloads)| overloads).map(|one| (one.as_ref(), None)).collect()
            }
            Self::Granted(granted) => {
                let place = |(oid, types): &'v (u32, Vec<String>)| Some((catalog.routine_places.get(oid)?, types));
                let mut placed: Vec<_> = granted.routines.iter().filter_map(place).collect();
                placed.sort_by_key(|&(place, _)| place);
                let routine = |((name, index), types): (&(_, usize), &'v Vec<String>)| {
                    Some((catalog.routines(name).get(*index)?.as_ref(), Some(types.as_slice())))
                };
                placed.into_iter().filter_map(routine).collect()
            }
        }
    }
}

/// Writes the document; a long one in turns with the core's other requests.
async fn write_document(scene: &Scene<'_>, visible: &Visible) -> Vec<u8> {
    let (catalog, schema) = (scene.catalog, scene.request.schema.as_ref());
    let mut builder = Builder::new(catalog);
    let mut turn_bytes = limits::DOCUMENT_TURN_BYTES;
    for relation in visible.relations(catalog, schema) {
        builder.relation(relation);
        if builder.size() > turn_bytes {
            turn_bytes = builder.size() + limits::DOCUMENT_TURN_BYTES;
            rt::yield_now().await;
        }
    }
    for (routine, type_names) in visible.routines(catalog, schema) {
        builder.routine(routine, type_names);
        if builder.size() > turn_bytes {
            turn_bytes = builder.size() + limits::DOCUMENT_TURN_BYTES;
            rt::yield_now().await;
        }
    }
    builder.finish(&frame(scene.config, catalog.schema_descriptions.get(schema).map(String::as_str)))
}

/// The address is the proxy's where one is configured, else the one that the server listens on.
fn frame<'f>(config: &'f Config, schema_description: Option<&'f str>) -> Frame<'f> {
    let security = if config.openapi_security_active { Security::BearerToken } else { Security::Undeclared };
    match &config.openapi_server_proxy_uri {
        Some(proxy) => Frame {
            scheme: proxy.scheme,
            host: format!("{}:{}", proxy.host, proxy.port),
            path: &proxy.path,
            security,
            schema_description,
        },
        None => Frame {
            scheme: "http",
            host: format!("{}:{}", listening_host(&config.server_host), config.server_port),
            path: "",
            security,
            schema_description,
        },
    }
}

fn listening_host(host: &BindHost) -> &str {
    match host {
        BindHost::Any | BindHost::AnyPreferIpv4 | BindHost::AnyIpv4 | BindHost::AnyPreferIpv6 | BindHost::AnyIpv6 => {
            "0.0.0.0"
        }
        BindHost::Named(name) => name,
    }
}

/// One document, and what it was made of.
#[derive(Debug)]
struct Document {
    schema: String,
    visible: Visible,
    bytes: Vec<u8>,
}

/// The documents of one published version. Roles that see the same share one.
#[derive(Debug, Default)]
pub struct Documents {
    by_role: HashMap<RoleName, Vec<Answer>, ahash::RandomState>,
    /// The oldest first.
    kept: Vec<Rc<Document>>,
}

/// What a role was shown, and when it was asked for.
#[derive(Debug)]
struct Answer {
    asked: Instant,
    document: Rc<Document>,
}

impl Documents {
    /// The role's document, if it was asked for not long before `now`.
    fn fresh(&self, role: &RoleName, schema: &str, now: Instant) -> Option<Rc<Document>> {
        let answer = self.by_role.get(role)?.iter().find(|answer| answer.document.schema == schema)?;
        let age = now.saturating_duration_since(answer.asked);
        (age < Duration::from_millis(limits::DOCUMENT_ASKED_MS)).then(|| answer.document.clone())
    }

    /// A document that shows just this.
    fn same(&self, schema: &str, visible: &Visible) -> Option<Rc<Document>> {
        self.kept.iter().find(|document| document.schema == schema && document.visible == *visible).cloned()
    }

    fn keep(&mut self, role: &RoleName, asked: Instant, document: &Rc<Document>) {
        let bytes = document.bytes.len();
        if bytes > limits::DOCUMENTS_BYTES_MAX {
            return;
        }
        if !self.kept.iter().any(|kept| Rc::ptr_eq(kept, document)) {
            self.make_room(bytes);
            self.kept.push(document.clone());
        }
        if self.by_role.len() >= limits::DOCUMENT_ROLES_MAX && !self.by_role.contains_key(role) {
            self.by_role.clear();
        }
        let answers = self.by_role.entry(role.clone()).or_default();
        answers.retain(|answer| answer.document.schema != document.schema);
        answers.push(Answer { asked, document: document.clone() });
    }

    /// Drops the oldest until so many bytes more fit.
    fn make_room(&mut self, bytes: usize) {
        let mut total: usize = self.kept.iter().map(|kept| kept.bytes.len()).sum();
        while total + bytes > limits::DOCUMENTS_BYTES_MAX && !self.kept.is_empty() {
            let oldest = self.kept.remove(0);
            total -= oldest.bytes.len();
            for answers in self.by_role.values_mut() {
                answers.retain(|answer| !Rc::ptr_eq(&answer.document, &oldest));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(schema: &str, relations: &[&str], bytes: usize) -> Rc<Document> {
        let relations = relations.iter().map(|&name| name.to_owned()).collect();
        let visible = Visible::Granted(Granted { relations, routines: Vec::new() });
        Rc::new(Document { schema: schema.to_owned(), visible, bytes: vec![b' '; bytes] })
    }

    #[test]
    fn a_role_is_asked_for_again_after_a_while() {
        let mut documents = Documents::default();
        let (role, asked) = (RoleName::new("reader"), Instant::now());
        documents.keep(&role, asked, &document("api", &["ports"], 10));
        let after = |ms| asked + Duration::from_millis(ms);
        let check = |role: &str, schema, now, expect| {
            assert_eq!(documents.fresh(&role.into(), schema, now).is_some(), expect, "{role} {schema}");
        };
        check("reader", "api", asked, true);
        check("reader", "api", after(limits::DOCUMENT_ASKED_MS - 1), true);
        check("reader", "api", after(limits::DOCUMENT_ASKED_MS), false);
        check("reader", "other", asked, false);
        check("writer", "api", asked, false);
    }

    #[test]
    fn documents_are_shared_by_what_they_show() {
        let mut documents = Documents::default();
        let kept = document("api", &["ports"], 10);
        documents.keep(&"reader".into(), Instant::now(), &kept);
        let check = |other: &Document, expect| {
            assert_eq!(documents.same(&other.schema, &other.visible).is_some(), expect);
        };
        check(&document("api", &["ports"], 0), true);
        check(&document("api", &["ports", "crew"], 0), false);
        check(&document("other", &["ports"], 0), false);
        assert!(documents.same("api", &Visible::Everything).is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let mut documents = Documents::default();
        let now = Instant::now();
        let half = limits::DOCUMENTS_BYTES_MAX / 2;
        let (one, two, three) = (RoleName::new("one"), RoleName::new("two"), RoleName::new("three"));
        documents.keep(&one, now, &document("api", &["a"], half));
        documents.keep(&two, now, &document("api", &["b"], half));
        assert!(documents.fresh(&one, "api", now).is_some());
        documents.keep(&three, now, &document("api", &["c"], 1));
        assert!(documents.fresh(&one, "api", now).is_none(), "the oldest went");
        assert!(documents.fresh(&two, "api", now).is_some());
        documents.keep(&one, now, &document("api", &["d"], limits::DOCUMENTS_BYTES_MAX + 1));
        assert!(documents.fresh(&one, "api", now).is_none(), "too large to be kept");
        for index in 0..=limits::DOCUMENT_ROLES_MAX {
            documents.keep(&RoleName::new(format!("role {index}")), now, &document("api", &["c"], 0));
        }
        assert!(documents.by_role.len() <= limits::DOCUMENT_ROLES_MAX);
    }

    #[test]
    fn a_schema_has_one_answer_for_a_role() {
        let mut documents = Documents::default();
        let (role, now) = (RoleName::new("reader"), Instant::now());
        documents.keep(&role, now, &document("api", &["ports"], 1));
        documents.keep(&role, now, &document("other", &["ports"], 2));
        documents.keep(&role, now, &document("api", &["crew"], 3));
        let check = |schema, bytes| {
            let found = documents.fresh(&role, schema, now).unwrap();
            assert_eq!(found.bytes.len(), bytes, "{schema}");
        };
        check("api", 3);
        check("other", 2);
    }

    #[test]
    fn grants_are_gathered_by_routine() {
        let mut granted = Granted::default();
        for (relation, routine, type_name) in [
            (None, Some("17"), Some("integer")),
            (None, Some("17"), Some("text")),
            (None, Some("18"), None),
            (Some("ports"), None, None),
            (None, Some("no oid"), Some("text")),
        ] {
            granted.add(relation, routine, type_name);
        }
        let expect = Granted {
            relations: vec!["ports".to_owned()],
            routines: vec![(17, vec!["integer".to_owned(), "text".to_owned()]), (18, Vec::new())],
        };
        assert_eq!(granted, expect);
    }
}
