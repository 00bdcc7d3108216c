//! Filters that operators above a scan fill while a query runs: which of them a scan may believe.
//!
//! DataFusion offers a scan the filters of sorts with a limit, of hash joins and of aggregations,
//! all as [`DynamicFilterPhysicalExpr`] and without a word about who fills them. Those of
//! aggregations are unsound: `min(a)` beside `max(abs(a))` fills a filter for `min(a)` alone. So a
//! scan ignores what it was offered until [`SoundDynamicFilters`] has seen the finished plan.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, DynamicFilterPhysicalExpr, InListExpr};
use datafusion::physical_expr::utils::{collect_columns, split_conjunction};
use datafusion::physical_expr_common::physical_expr::snapshot_physical_expr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;

use crate::aggregate::AggregateSource;
use crate::literals::{is_comparison, is_zero_literal};
use crate::source::AtlasSource;

/// Lets scans of stores use the dynamic filters of sorts and hash joins, and of no other operator.
///
/// A sort with a limit only excludes rows that come after those that it has; a hash join only rows
/// whose key is not on its other side. A filter that passes an operator with two columns of one
/// name may be about the other column, and is not used. The rule comes last, since filters are
/// offered to scans late. Without it, scans use no dynamic filter.
#[derive(Debug, Default)]
pub struct SoundDynamicFilters;

impl SoundDynamicFilters {
    const NAME: &str = "SoundDynamicFilters";

    /// Puts the rule behind those of a session, unless it is there.
    pub fn add_to(rules: &mut Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>) {
        if !rules.iter().any(|rule| rule.name() == Self::NAME) {
            rules.push(Arc::new(Self));
        }
    }
}

impl PhysicalOptimizerRule for SoundDynamicFilters {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        vouch(plan, HashSet::new())
    }

    fn name(&self) -> &str {
        Self::NAME
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Lets the scans below `plan` use their dynamic filters that are `sound`, or that sorts and hash
/// joins below `plan` fill.
fn vouch(plan: Arc<dyn ExecutionPlan>, mut sound: HashSet<u64>) -> Result<Arc<dyn ExecutionPlan>> {
    // Each iteration gives the operators new filters, while scans keep those of the first.
    if plan.is::<RecursiveQueryExec>() {
        return Ok(plan);
    }
    // Filters pass operators by the names of columns, and take the first of two.
    if has_a_name_twice(&plan.schema()) {
        sound.clear();
    }
    if plan.is::<SortExec>() || plan.is::<HashJoinExec>() {
        sound.extend(plan.dynamic_expressions_produced().iter().filter_map(|filter| filter.expression_id()));
    }
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let config = scan.data_source().downcast_ref::<FileScanConfig>();
        let Some((config, source)) = config.and_then(|config| Some((config, vouched(config, &sound)?)))
        else {
            return Ok(plan);
        };
        let config = FileScanConfigBuilder::from(config.clone()).with_source(source).build();
        return Ok(DataSourceExec::from_data_source(config));
    }
    let children = plan.children().into_iter().map(|child| vouch(Arc::clone(child), sound.clone()));
    replace_children_if_necessary(Arc::clone(&plan), children.collect::<Result<Vec<_>>>()?)
}

fn has_a_name_twice(schema: &Schema) -> bool {
    let mut names = HashSet::with_capacity(schema.fields().len());
    !schema.fields().iter().all(|field| names.insert(field.name()))
}

/// The source of a scan of a store with those of its dynamic filters that are sound; `None` where
/// it was offered none.
fn vouched(config: &FileScanConfig, sound: &HashSet<u64>) -> Option<Arc<dyn FileSource>> {
    let source = config.file_source();
    if let Some(source) = source.downcast_ref::<AtlasSource>() {
        return source.vouched(sound).map(|source| Arc::new(source) as Arc<dyn FileSource>);
    }
    let source = source.downcast_ref::<AggregateSource>()?.vouched(sound)?;
    Some(Arc::new(source))
}

/// Whether a filter is one that sound operators fill, and that says what they mean.
pub fn is_sound(filter: &Arc<dyn PhysicalExpr>, sound: &HashSet<u64>) -> bool {
    let mut all = true;
    let visited = filter.apply(|node| {
        if let Some(dynamic) = node.downcast_ref::<DynamicFilterPhysicalExpr>() {
            let known = dynamic.expression_id().is_some_and(|id| sound.contains(&id));
            all &= known && is_remapped_whole(dynamic);
        }
        Ok(if all { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    all && visited.is_ok()
}

/// Whether DataFusion can tell what the parts of a filter are in terms of the table's columns.
///
/// It replaces the expressions that a filter is about one by one, the inner ones first. Where one
/// is a part of another, as in `ORDER BY a + b, a`, it no longer finds the outer one, and columns
/// stay behind that are numbered as in another schema.
fn is_remapped_whole(filter: &DynamicFilterPhysicalExpr) -> bool {
    let about = filter.children();
    about.iter().all(|outer| {
        let mut whole = true;
        let visited = outer.apply(|part| {
            let is_other = !Arc::ptr_eq(part, outer) && part != *outer;
            whole &= !(is_other && about.contains(&part));
            Ok(if whole { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        whole && visited.is_ok()
    })
}

/// What a filter says by now, as predicates over the columns of a table with `schema` of which all
/// hold for every row that somebody above wants. What cannot be understood is left out.
pub fn current(filter: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    let filter = snapshot_physical_expr(Arc::clone(filter))?;
    let understood = split_conjunction(&filter).into_iter().filter(|expr| is_understood(expr, schema));
    Ok(understood.map(with_ties_at_zero).collect())
}

/// Whether the columns of a predicate are those of the table, and what is compared is of one type.
fn is_understood(predicate: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let is_of_table = |column: &Column| {
        schema.fields().get(column.index()).is_some_and(|field| field.name() == column.name())
    };
    if !collect_columns(predicate).iter().all(is_of_table) {
        return false;
    }
    let mut understood = true;
    let visited = predicate.apply(|node| {
        understood &= match (node.downcast_ref::<BinaryExpr>(), node.downcast_ref::<InListExpr>()) {
            (Some(binary), _) if is_comparison(*binary.op()) => {
                binary.left().data_type(schema)? == binary.right().data_type(schema)?
            }
            // Members are compared by their bits: -0.0 in a struct would be no 0.0.
            (_, Some(list)) => !has_nested_floats(&list.expr().data_type(schema)?),
            _ => true,
        };
        Ok(if understood { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    understood && visited.is_ok()
}

fn has_nested_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => {
            fields.iter().any(|field| field.data_type().is_floating() || has_nested_floats(field.data_type()))
        }
        _ => false,
    }
}

/// The predicate, with rows at zero let through where it says less or greater than zero.
///
/// Sorts put -0.0 before 0.0, and comparisons take them as equal: which of the two comes first is
/// the sort's to say. That is so of comparisons that the sort has written, and not of those in what
/// it sorts by: `ORDER BY x > 0` is about another value where `x` is 0.
fn with_ties_at_zero(predicate: &Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    let Some(binary) = predicate.downcast_ref::<BinaryExpr>() else { return Arc::clone(predicate) };
    let (left, right) = (binary.left(), binary.right());
    let is_zero = is_zero_literal(left) || is_zero_literal(right);
    let (left, op, right) = match binary.op() {
        op @ (Operator::And | Operator::Or) => (with_ties_at_zero(left), *op, with_ties_at_zero(right)),
        Operator::Lt if is_zero => (Arc::clone(left), Operator::LtEq, Arc::clone(right)),
        Operator::Gt if is_zero => (Arc::clone(left), Operator::GtEq, Arc::clone(right)),
        _ => return Arc::clone(predicate),
    };
    Arc::new(BinaryExpr::new(left, op, right))
}
