//! Rules of a session.

use std::sync::Arc;

use datafusion::optimizer::AnalyzerRule;

/// Adds a rule before those of a session, unless it is there already.
pub fn add_first(
    rules: &mut Vec<Arc<dyn AnalyzerRule + Send + Sync>>,
    rule: impl AnalyzerRule + Send + Sync + 'static,
) {
    if !rules.iter().any(|other| other.name() == rule.name()) {
        rules.insert(0, Arc::new(rule));
    }
}
