//! EXPLAIN around a statement, for the plan media type and for planned counts.

use super::writer::SqlWriter;
use crate::media::{PlanFormat, PlanMedia};

/// The planner's estimate as JSON.
pub fn estimate(out: &mut SqlWriter) {
    out.sql("EXPLAIN (FORMAT JSON) ");
}

/// What the client's media type asks for.
pub fn plan(out: &mut SqlWriter, media: &PlanMedia) {
    out.sql(match media.format {
        PlanFormat::Json => "EXPLAIN (FORMAT JSON",
        PlanFormat::Text => "EXPLAIN (FORMAT TEXT",
    });
    for (asked, option) in [
        (media.analyze, ", ANALYZE"),
        (media.verbose, ", VERBOSE"),
        (media.settings, ", SETTINGS"),
        (media.buffers, ", BUFFERS"),
        (media.wal, ", WAL"),
    ] {
        if asked {
            out.sql(option);
        }
    }
    out.sql(") ");
}
