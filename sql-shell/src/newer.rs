//! Finds generations of stores that are newer than those of a session.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use atlas::Atlas;
use atlas_datafusion::register_store;

use crate::error::Result;
use crate::printable::Printable;
use crate::session::Session;

/// The minimum time between two checks for newer generations.
const PAUSE: Duration = Duration::from_secs(5);

/// The longest time of a check, so that a statement does not wait for a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The newer generations that were already reported.
#[derive(Default)]
pub(crate) struct Newer {
    looked: Option<Instant>,
    told: HashMap<String, u64>,
}

impl Newer {
    /// Messages about stores that others have changed since the session read them. Each generation
    /// is reported once.
    pub(crate) async fn look(&mut self, session: &Session) -> Vec<String> {
        if self.looked.is_some_and(|looked| looked.elapsed() < PAUSE) {
            return Vec::new();
        }
        self.looked = Some(Instant::now());
        let mut remarks = Vec::new();
        for store in &session.stores {
            let newest = tokio::time::timeout(PATIENCE, Atlas::open_url(&store.location)).await;
            // Errors of a store are reported by the statements that read it.
            let Ok(Ok(newest)) = newest else { continue };
            let newest = newest.snapshot().root().generation();
            let shown = store.atlas.snapshot().root().generation();
            if newest > shown && self.told.insert(store.name.clone(), newest) != Some(newest) {
                remarks.push(format!(
                    "{} has a newer generation, {newest}; this is {shown}: \\refresh shows it",
                    store.name
                ));
            }
        }
        remarks
    }
}

/// Moves to the newest generation of each store, and reports which stores have a new one.
pub(crate) async fn refresh(session: &mut Session) -> Result<()> {
    let mut out = Printable::new(io::stdout());
    for store in &session.stores {
        let before = store.atlas.snapshot().root().generation();
        store.atlas.refresh().await?;
        let after = store.atlas.snapshot().root().generation();
        if after == before {
            writeln!(out, "{} is at its newest generation, {after}", store.name)?;
            continue;
        }
        register_store(&session.context, &store.name, &store.atlas)?;
        writeln!(out, "{} shows generation {after}; it was {before}", store.name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use atlas::StoreConfig;

    use super::*;

    #[tokio::test]
    async fn a_newer_generation_is_told_once_and_shown_when_asked_for() {
        let location = "memory:///newer";
        let writer = Atlas::create_url(location, StoreConfig::default()).await.unwrap();
        writer.create_dataset("a").await.unwrap();
        writer.flush().await.unwrap();
        let mut session = Session::new(None, &Default::default()).unwrap();
        session.attach("s", location).await.unwrap();
        let mut newer = Newer::default();
        assert_eq!(newer.look(&session).await, [""; 0]);

        writer.create_dataset("b").await.unwrap();
        writer.flush().await.unwrap();
        // The next check is not due yet.
        assert_eq!(newer.look(&session).await, [""; 0]);
        newer.looked = None;
        let told = newer.look(&session).await;
        assert_eq!(told, ["s has a newer generation, 2; this is 1: \\refresh shows it"]);
        newer.looked = None;
        assert_eq!(newer.look(&session).await, [""; 0]);

        let count = async |session: &Session| {
            let rows = session.context.sql("SELECT dataset FROM s._datasets").await.unwrap();
            rows.count().await.unwrap()
        };
        assert_eq!(count(&session).await, 1);
        refresh(&mut session).await.unwrap();
        assert_eq!(count(&session).await, 2);
    }
}
