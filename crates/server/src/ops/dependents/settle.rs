//! Counts who depends on a name, in the transaction of what has changed it: so lists and pages need not count.
//!
//! A workflow that was seen and code that was found are one dependent where they are the same program. A pipeline is by its dag's id, which
//! the names of its tasks begin with (`daily` and `daily.load`). Everything else is by its path: one program tells it from the root of its
//! machine, a scan from that of its project, a notebook its file's name alone; so one of the two has to end with the other.

use std::collections::{HashMap, HashSet};

use crate::store::{self, Write};

/// Most workflows that are kept of a name. Beyond them those go that the caller with the most of them used longest ago: who makes up workflows
/// drives out his own.
pub const SIGHTINGS_MAX: i64 = 10_000;
const PIPELINE: &str = "pipeline";

/// Counts a name anew. Call it where a workflow of it has come or gone, seen or found.
pub async fn settle(write: &mut Write, workspace_id: &str, name_key: &str) -> store::Result<()> {
    let name = (workspace_id, name_key);
    store::hold_dependents(write, name).await?;
    let mut seen = store::count_sightings(write, name).await?;
    while seen > SIGHTINGS_MAX {
        let Some(busiest) = store::busiest_caller(write, name).await? else { break };
        if store::forget_oldest(write, name, &busiest, seen - SIGHTINGS_MAX).await? == 0 {
            break;
        }
        seen = store::count_sightings(write, name).await?;
    }
    let found = store::all_found(write, name).await?;
    let mut found_alone = HashSet::new();
    if !found.is_empty() {
        let sightings = store::all_sightings(write, name).await?;
        let programs = Programs::of(&sightings);
        for (kind, workflow, was_seen) in &found {
            let is_seen = programs.have(kind, workflow);
            if is_seen != *was_seen {
                store::mark_found(write, name, (kind, workflow), is_seen).await?;
            }
            if !is_seen {
                found_alone.insert((kind, workflow));
            }
        }
    }
    store::put_dependents(write, name, seen, i64::try_from(found_alone.len()).unwrap_or(i64::MAX)).await
}

/// Workflows that were seen, to be asked for what was found.
#[derive(Debug, Default)]
struct Programs<'s> {
    /// Every beginning of a pipeline's name that could be its dag's id.
    dags: HashSet<&'s str>,
    /// Paths by the name of their file.
    paths: HashMap<&'s str, Vec<&'s str>>,
}

impl<'s> Programs<'s> {
    fn of(sightings: &'s [(String, String)]) -> Self {
        let mut programs = Self::default();
        for (kind, workflow) in sightings {
            if kind == PIPELINE {
                programs.dags.extend(workflow.match_indices('.').filter_map(|(at, _)| workflow.get(..at)));
                programs.dags.insert(workflow);
            } else {
                programs.paths.entry(file_name(workflow)).or_default().push(workflow);
            }
        }
        programs
    }

    fn have(&self, kind: &str, workflow: &str) -> bool {
        if kind == PIPELINE {
            return self.dags.contains(workflow);
        }
        let same_file = self.paths.get(file_name(workflow));
        same_file.is_some_and(|paths| paths.iter().any(|path| is_same_path(path, workflow)))
    }
}

/// Whether a workflow that was seen is the code that was found.
pub(super) fn is_same((seen_kind, seen): (&str, &str), (found_kind, found): (&str, &str)) -> bool {
    if found_kind == PIPELINE || seen_kind == PIPELINE {
        let rest = seen.strip_prefix(found);
        return found_kind == seen_kind && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    }
    is_same_path(seen, found)
}

fn is_same_path(one: &str, other: &str) -> bool {
    let ends =
        |long: &str, short: &str| long.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with(['/', '\\']));
    ends(one, other) || ends(other, one)
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_what_was_found() {
        for (seen, found, expected) in [
            (("pipeline", "daily.load"), ("pipeline", "daily"), true),
            (("pipeline", "daily"), ("pipeline", "daily"), true),
            (("pipeline", "team.daily.load"), ("pipeline", "team.daily"), true),
            (("pipeline", "daily_sales.load"), ("pipeline", "daily"), false),
            (("pipeline", "daily"), ("pipeline", "daily.load"), false),
            (("script", "daily"), ("pipeline", "daily"), false),
            (("pipeline", "etl/daily.py"), ("script", "etl/daily.py"), false),
            (("script", "/srv/jobs/etl/daily.py"), ("script", "etl/daily.py"), true),
            (("script", "/srv/jobs/etl/daily.py"), ("script", "tl/daily.py"), false),
            (("script", "C:\\work\\daily.py"), ("script", "daily.py"), true),
            (("notebook", "churn.ipynb"), ("notebook", "notebooks/churn.ipynb"), true),
            (("app", "board.py"), ("script", "apps/board.py"), true),
            (("script", "/srv/a/main.py"), ("script", "b/main.py"), false),
        ] {
            assert_eq!(is_same(seen, found), expected, "{seen:?} {found:?}");
            let sightings = [(seen.0.to_owned(), seen.1.to_owned())];
            assert_eq!(Programs::of(&sightings).have(found.0, found.1), expected, "{seen:?} {found:?}");
        }
    }
}
