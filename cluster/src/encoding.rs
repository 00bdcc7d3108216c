//! Checks that a plan survives the way to workers.

use std::sync::{Arc, LazyLock};

use atlas_datafusion::StoreScan;
use atlas_datafusion::codec::AtlasCodec;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
};
use datafusion_proto::physical_plan::DeduplicatingProtoConverter;

use crate::windows::windows_of;
use crate::worker::with_functions;

/// The greatest size of an encoded plan, in bytes. A plan includes its tables in memory.
pub(crate) const MOST_BYTES: usize = 32 << 20;

/// True if a worker would decode a plan to the same plan.
///
/// Some plans cannot be encoded, or cannot be decoded: they are nested too deeply, or use functions
/// that workers do not have. DataFusion encodes others without a part of them, and says nothing: a
/// window function loses its `FILTER` and `IGNORE NULLS`, and limits above 2^32 - 1 lose their
/// upper bits.
pub(crate) fn is_lossless(plan: &Arc<dyn ExecutionPlan>) -> bool {
    static WORKER: LazyLock<Arc<TaskContext>> =
        LazyLock::new(|| with_functions(SessionStateBuilder::new().with_default_features()).task_ctx());
    let converter = DeduplicatingProtoConverter::default();
    let encoded = physical_plan_to_bytes_with_proto_converter(Arc::clone(plan), &AtlasCodec, &converter);
    let Some(bytes) = encoded.ok().filter(|bytes| bytes.len() <= MOST_BYTES) else { return false };
    let converter = DeduplicatingProtoConverter::default();
    let decoded = physical_plan_from_bytes_with_proto_converter(&bytes, &WORKER, &AtlasCodec, &converter);
    decoded.is_ok_and(|decoded| is_same(plan.as_ref(), decoded.as_ref()))
}

fn is_same(plan: &dyn ExecutionPlan, decoded: &dyn ExecutionPlan) -> bool {
    let (inputs, others) = (plan.children(), decoded.children());
    // A decoded scan of a store shows less, because its store is not open.
    (StoreScan::of(plan).is_some() || text(plan) == text(decoded))
        && window_options(plan) == window_options(decoded)
        && plan.schema() == decoded.schema()
        && inputs.len() == others.len()
        && inputs.into_iter().zip(others).all(|(input, other)| is_same(input.as_ref(), other.as_ref()))
}

/// What an operator does, without its inputs.
fn text(plan: &dyn ExecutionPlan) -> String {
    displayable(plan).one_line().to_string()
}

/// How many window functions of an operator have each option that their names do not show, and that
/// only the debug format reveals.
fn window_options(plan: &dyn ExecutionPlan) -> Option<[usize; 4]> {
    let shown = format!("{:?}", windows_of(plan)?);
    let options = ["filter: Some(", "ignore_nulls: true", "is_reversed: true", "is_distinct: true"];
    Some(options.map(|option| shown.matches(option).count()))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use datafusion::logical_expr::{Volatility, create_udf};
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    #[tokio::test]
    async fn plans_that_would_lose_a_part_are_noticed() {
        let config = SessionConfig::new().set_usize("datafusion.sql_parser.recursion_limit", 200);
        let ctx = SessionContext::new_with_config(config);
        let own = create_udf(
            "own",
            vec![DataType::Int64],
            DataType::Int64,
            Volatility::Immutable,
            Arc::new(|arguments| Ok(arguments[0].clone())),
        );
        ctx.register_udf(own);
        ctx.sql("CREATE TABLE t AS SELECT * FROM (VALUES (1, 2, 'a'), (3, NULL, 'b')) AS t(x, v, k)")
            .await
            .unwrap();
        let nested = (0..60).fold("v + x".to_owned(), |inner, _| format!("abs({inner})"));
        for (expected, query) in [
            (true, "SELECT sum(v) OVER (PARTITION BY k ORDER BY x) FROM t"),
            (true, "SELECT sum(v) OVER (PARTITION BY k) FROM t"),
            (true, "SELECT row_number() OVER (ORDER BY x), lag(v, 2, 7) OVER (ORDER BY x) FROM t"),
            (true, "SELECT avg(v) OVER (ORDER BY x ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING) FROM t"),
            (
                true,
                "SELECT k, sum(v) FILTER (WHERE x > 2), count(DISTINCT x) FROM t GROUP BY k ORDER BY k LIMIT 3",
            ),
            (true, "SELECT a.x FROM t AS a LEFT JOIN t AS b ON a.x = b.v WHERE a.k LIKE 'a%' OFFSET 1"),
            (false, "SELECT sum(v) FILTER (WHERE x > 2) OVER (PARTITION BY k) FROM t"),
            (false, "SELECT sum(v) FILTER (WHERE x > 2) OVER (PARTITION BY k ORDER BY x) FROM t"),
            (false, "SELECT lag(v) IGNORE NULLS OVER (ORDER BY x) FROM t"),
            (false, "SELECT first_value(v) IGNORE NULLS OVER (ORDER BY x) FROM t"),
            (
                false,
                "SELECT nth_value(v, 2) OVER (ORDER BY x), nth_value(v, 2) OVER (ORDER BY x DESC) FROM t",
            ),
            (false, "SELECT x FROM t LIMIT 5000000000"),
            (true, "SELECT x FROM t ORDER BY v LIMIT 5000000000"),
            (false, "SELECT x FROM t OFFSET 5000000000"),
            (false, "SELECT own(x) FROM t"),
            (false, &format!("SELECT {nested} FROM t")),
        ] {
            let plan = ctx.sql(query).await.unwrap().create_physical_plan().await.unwrap();
            assert_eq!(is_lossless(&plan), expected, "{query}\n{}", displayable(plan.as_ref()).indent(true));
        }
    }
}
