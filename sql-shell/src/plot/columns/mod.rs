//! Derives the meanings of a result's columns from the logical plan of its query: which variables
//! they show, in which units, through aggregates, functions and aliases.

mod expressions;
mod meaning;
pub(super) mod role;
#[cfg(test)]
mod tests;
mod units;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::Field;
use atlas::{ArraySchema, AttributeValue, Value};
use atlas_datafusion::AtlasTable;
use atlas_datafusion::sample::Sampled;
use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::DFSchema;
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, split_conjunction};
use datafusion::logical_expr::{Distinct, Expr, Join, LogicalPlan, Operator, TableScan};

use self::expressions::{Input, text};
pub(super) use self::meaning::{Bin, Meaning};
use self::role::Attributes;

/// What the plan of a query tells about its result.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Description {
    /// The meaning of each column.
    pub columns: Vec<Meaning>,
    /// Whether the query orders its rows.
    pub ordered: bool,
    /// The tables that it reads, and the conditions on their rows.
    pub source: Vec<String>,
}

impl Description {
    pub(super) fn of(plan: &LogicalPlan) -> Self {
        let mut source = Source::default();
        source.collect(plan);
        let Source { tables, conditions } = source;
        let conditions = (!conditions.is_empty()).then(|| conditions.join(" AND "));
        let tables = (!tables.is_empty()).then(|| tables.join(", "));
        let source = tables.into_iter().chain(conditions).collect();
        Self { columns: meanings(plan), ordered: is_ordered(plan), source }
    }
}

fn is_ordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => is_ordered(&projection.input),
        LogicalPlan::Limit(limit) => is_ordered(&limit.input),
        _ => false,
    }
}

/// The meanings of the columns of a plan.
fn meanings(plan: &LogicalPlan) -> Vec<Meaning> {
    let of = |expressions: &mut dyn Iterator<Item = &Expr>, input: &LogicalPlan| {
        let columns = meanings(input);
        let input = Input { schema: input.schema(), columns: &columns, of_plan: meanings };
        expressions.map(|expression| input.meaning(expression)).collect::<Vec<_>>()
    };
    let found = match plan {
        LogicalPlan::Projection(projection) => of(&mut projection.expr.iter(), &projection.input),
        LogicalPlan::Aggregate(aggregate) => {
            let keys = grouping_set_to_exprlist(&aggregate.group_expr).unwrap_or_default();
            let mut found = of(&mut keys.into_iter(), &aggregate.input);
            found.iter_mut().for_each(|key| key.independent = true);
            // The column that numbers grouping sets.
            if let [Expr::GroupingSet(_)] = aggregate.group_expr.as_slice() {
                found.push(Meaning::default());
            }
            found.extend(of(&mut aggregate.aggr_expr.iter(), &aggregate.input));
            found
        }
        LogicalPlan::Window(window) => {
            let mut found = meanings(&window.input);
            found.extend(of(&mut window.window_expr.iter(), &window.input));
            found
        }
        LogicalPlan::TableScan(scan) => of_scan(scan),
        LogicalPlan::Join(join) => of_join(join, plan.schema()),
        LogicalPlan::Union(union) => {
            let mut inputs = union.inputs.iter().map(|input| meanings(input));
            let first = inputs.next().unwrap_or_default();
            inputs.fold(first, |all, one| all.into_iter().zip(&one).map(|(a, b)| a.common(b)).collect())
        }
        LogicalPlan::Distinct(Distinct::On(on)) => of(&mut on.select_expr.iter(), &on.input),
        LogicalPlan::Distinct(Distinct::All(input)) => meanings(input),
        LogicalPlan::SubqueryAlias(alias) => meanings(&alias.input),
        LogicalPlan::Subquery(subquery) => meanings(&subquery.subquery),
        LogicalPlan::RecursiveQuery(query) => meanings(&query.static_term),
        LogicalPlan::Filter(filter) => meanings(&filter.input),
        LogicalPlan::Sort(sort) => meanings(&sort.input),
        LogicalPlan::Limit(limit) => meanings(&limit.input),
        LogicalPlan::Repartition(repartition) => meanings(&repartition.input),
        LogicalPlan::Unnest(unnest) => {
            let columns = meanings(&unnest.input);
            let at = |position: &usize| columns.get(*position).cloned().unwrap_or_default();
            unnest.dependency_indices.iter().map(at).collect()
        }
        _ => Vec::new(),
    };
    let fields = plan.schema().fields();
    if found.len() == fields.len() {
        return found;
    }
    fields.iter().map(|field| Meaning::named(field.name())).collect()
}

fn of_join(join: &Join, schema: &DFSchema) -> Vec<Meaning> {
    let (left, right) = (meanings(&join.left), meanings(&join.right));
    let all: Vec<_> = left.iter().chain(&right).cloned().collect();
    // A semi join only has the columns of one side.
    [all, left, right].into_iter().find(|found| found.len() == schema.fields().len()).unwrap_or_default()
}

fn of_scan(scan: &TableScan) -> Vec<Meaning> {
    let fields = scan.projected_schema.fields();
    let Ok(provider) = source_as_provider(&scan.source) else { return Vec::new() };
    if let Some(table) = provider.downcast_ref::<AtlasTable>() {
        let (declarations, dimensions) = (table.declarations(), table.dimensions());
        return fields.iter().map(|field| of_column(field, &declarations, dimensions)).collect();
    }
    if let Some(sampled) = provider.downcast_ref::<Sampled>() {
        let of_points: HashMap<_, _> =
            meanings(sampled.points()).into_iter().map(|column| (column.name.clone(), column)).collect();
        let declarations = sampled.declarations();
        let meaning = |field: &Arc<Field>| match of_points.get(field.name()) {
            Some(column) => column.clone(),
            None => of_column(field, &declarations, &[]),
        };
        return fields.iter().map(meaning).collect();
    }
    fields.iter().map(|field| of_field(field)).collect()
}

/// The meaning of a column in a store's table.
fn of_column(
    field: &Field,
    declarations: &HashMap<&str, Vec<&ArraySchema>>,
    dimensions: &[String],
) -> Meaning {
    let name = field.name();
    let attributes = declarations.get(name.as_str()).map(|arrays| merged(arrays)).unwrap_or_default();
    Meaning::of_variable(name, &attributes, dimensions.contains(name))
}

/// The meaning of a column in another table. Parquet and Arrow files can hold attributes.
fn of_field(field: &Field) -> Meaning {
    let attributes = Attributes::new(|key| field.metadata().get(key).cloned());
    Meaning::of_variable(field.name(), &attributes, false)
}

/// Merges the attributes of a variable that datasets may declare differently: keeps all units, and
/// other attributes only if all datasets agree.
fn merged(arrays: &[&ArraySchema]) -> Attributes {
    let all = |key: &str| {
        let mut seen = HashSet::new();
        let values = arrays.iter().filter_map(|array| match array.attribute(key) {
            Some(AttributeValue::One(Value::String(text))) => Some(text.trim()),
            _ => None,
        });
        values.filter(|value| seen.insert(*value)).map(str::to_owned).collect::<Vec<_>>()
    };
    Attributes::new(|key| match all(key).as_slice() {
        [] => None,
        [value] => Some(value.clone()),
        several if key == "units" => Some(several.join(", ")),
        _ => None,
    })
}

/// The origin of a query's rows.
#[derive(Default)]
struct Source {
    tables: Vec<String>,
    conditions: Vec<String>,
}

impl Source {
    fn collect(&mut self, plan: &LogicalPlan) {
        if let LogicalPlan::TableScan(scan) = plan {
            let name = scan.table_name.to_string();
            // Functions that generate rows are not a source of data.
            if !self.tables.contains(&name) && !name.ends_with("()") {
                self.tables.push(name);
            }
        }
        if let LogicalPlan::Filter(filter) = plan {
            let columns = meanings(&filter.input);
            let input = Input { schema: filter.input.schema(), columns: &columns, of_plan: meanings };
            for condition in split_conjunction(&filter.predicate) {
                let is_or = matches!(condition, Expr::BinaryExpr(binary) if binary.op == Operator::Or);
                let condition = match condition {
                    Expr::IsNotNull(_) => continue,
                    // A condition with OR needs parentheses, since conditions are joined by AND.
                    either if is_or => format!("({})", text(either, &input)),
                    other => text(other, &input),
                };
                if !self.conditions.contains(&condition) {
                    self.conditions.push(condition);
                }
            }
        }
        plan.inputs().into_iter().for_each(|input| self.collect(input));
    }
}
