//! Derives the meanings of a result's columns from the logical plan of its query: which variables
//! they show, in which units, through aggregates, functions and aliases.

mod expressions;
mod meaning;
pub(crate) mod role;
#[cfg(test)]
mod tests;
mod units;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::Field;
use atlas::{ArraySchema, AttributeValue, Value};
use atlas_datafusion::AtlasTable;
use atlas_datafusion::sample::Sampled;
use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, JoinType};
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, split_conjunction};
use datafusion::logical_expr::{Distinct, Expr, Join, LogicalPlan, Operator, TableScan};

use self::expressions::{Input, text};
pub(crate) use self::meaning::{Bin, Meaning};
use self::role::Attributes;

/// What the plan of a query tells about its result.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Description {
    /// The meaning of each column.
    pub columns: Vec<Meaning>,
    /// Whether the query orders its rows.
    pub ordered: bool,
    /// The tables that it reads, and the conditions on their rows.
    pub source: Vec<String>,
}

impl Description {
    pub(crate) fn of(plan: &LogicalPlan) -> Self {
        let tracer = Tracer::of(plan);
        let mut source = Source::default();
        source.collect(plan, &tracer);
        let Source { tables, conditions } = source;
        let conditions = (!conditions.is_empty()).then(|| conditions.join(" AND "));
        let tables = (!tables.is_empty()).then(|| tables.join(", "));
        let source = tables.into_iter().chain(conditions).collect();
        Self { columns: tracer.meanings(plan), ordered: is_ordered(plan), source }
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

/// The units of each number of a plan's result, if known.
pub(crate) fn units(plan: &LogicalPlan) -> Vec<Option<String>> {
    let columns = Tracer::of(plan).meanings(plan).into_iter().zip(plan.schema().fields());
    columns.map(|(column, field)| column.units.filter(|_| field.data_type().is_numeric())).collect()
}

/// Traces the columns of a plan to the tables that it reads.
struct Tracer {
    /// The names of columns in the plan's expressions and result. Only for these, a scan looks up
    /// what datasets declare.
    mentioned: HashSet<String>,
}

impl Tracer {
    fn of(plan: &LogicalPlan) -> Self {
        let mut mentioned: HashSet<String> =
            plan.schema().fields().iter().map(|field| field.name().clone()).collect();
        let visited = plan.apply_with_subqueries(|part| {
            part.apply_expressions(|expression| {
                mentioned.extend(expression.column_refs().into_iter().map(|column| column.name.clone()));
                Ok(TreeNodeRecursion::Continue)
            })
        });
        debug_assert!(visited.is_ok(), "no visit returns an error");
        Self { mentioned }
    }

    /// The meanings of the columns of a part of the plan.
    fn meanings(&self, plan: &LogicalPlan) -> Vec<Meaning> {
        let of = |expressions: &mut dyn Iterator<Item = &Expr>, input: &LogicalPlan| {
            let columns = self.meanings(input);
            let input = Input { schema: input.schema(), columns: &columns, tracer: self };
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
                let mut found = self.meanings(&window.input);
                found.extend(of(&mut window.window_expr.iter(), &window.input));
                found
            }
            LogicalPlan::TableScan(scan) => self.of_scan(scan),
            LogicalPlan::Join(join) => self.of_join(join, plan.schema()),
            LogicalPlan::Union(union) => {
                let mut inputs = union.inputs.iter().map(|input| self.meanings(input));
                let first = inputs.next().unwrap_or_default();
                inputs.fold(first, |all, one| all.into_iter().zip(&one).map(|(a, b)| a.common(b)).collect())
            }
            LogicalPlan::Distinct(Distinct::On(on)) => of(&mut on.select_expr.iter(), &on.input),
            LogicalPlan::Distinct(Distinct::All(input)) => self.meanings(input),
            LogicalPlan::SubqueryAlias(alias) => self.meanings(&alias.input),
            LogicalPlan::Subquery(subquery) => self.meanings(&subquery.subquery),
            LogicalPlan::RecursiveQuery(query) => self.meanings(&query.static_term),
            LogicalPlan::Filter(filter) => self.meanings(&filter.input),
            LogicalPlan::Sort(sort) => self.meanings(&sort.input),
            LogicalPlan::Limit(limit) => self.meanings(&limit.input),
            LogicalPlan::Repartition(repartition) => self.meanings(&repartition.input),
            LogicalPlan::Unnest(unnest) => {
                let columns = self.meanings(&unnest.input);
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

    fn of_join(&self, join: &Join, schema: &DFSchema) -> Vec<Meaning> {
        let (left, right) = (self.meanings(&join.left), self.meanings(&join.right));
        let all: Vec<_> = left.iter().chain(&right).cloned().collect();
        // A semi join only has the columns of one side.
        let sides = match join.join_type {
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => [all, right, left],
            _ => [all, left, right],
        };
        sides.into_iter().find(|found| found.len() == schema.fields().len()).unwrap_or_default()
    }

    fn of_scan(&self, scan: &TableScan) -> Vec<Meaning> {
        let Ok(provider) = source_as_provider(&scan.source) else { return Vec::new() };
        let provider = provider.as_ref();
        let of: Box<dyn Fn(&Field) -> Meaning> = if let Some(table) = provider.downcast_ref::<AtlasTable>() {
            Box::new(|field| {
                let declared = merged(&table.declarations(field.name()));
                Meaning::of_variable(field.name(), &declared, table.dimensions().contains(field.name()))
            })
        } else if let Some(sampled) = provider.downcast_ref::<Sampled>() {
            let of_points = Self::of(sampled.points()).meanings(sampled.points());
            Box::new(move |field| match of_points.iter().find(|column| column.name == *field.name()) {
                Some(column) => column.clone(),
                None => {
                    Meaning::of_variable(field.name(), &merged(&sampled.declarations(field.name())), false)
                }
            })
        } else {
            Box::new(of_field)
        };
        let fields = scan.projected_schema.fields().iter();
        let meaning = |field: &Arc<Field>| match self.mentioned.contains(field.name()) {
            true => of(field),
            false => Meaning::default(),
        };
        fields.map(meaning).collect()
    }
}

/// The meaning of a column in another table. Parquet and Arrow files can hold attributes.
fn of_field(field: &Field) -> Meaning {
    let attributes = Attributes::new(|key| field.metadata().get(key).cloned());
    Meaning::of_variable(field.name(), &attributes, false)
}

/// The most units of one variable that are named; further ones are an ellipsis.
const MOST_UNITS: usize = 4;

/// Merges the attributes of a variable that datasets may declare differently: keeps all units, and
/// other attributes only if all datasets agree.
fn merged(arrays: &[&ArraySchema]) -> Attributes {
    let distinct = |key: &str, most: usize| {
        let mut seen: Vec<&str> = Vec::new();
        for array in arrays {
            if let Some(AttributeValue::One(Value::String(text))) = array.attribute(key)
                && !seen.contains(&text.trim())
            {
                seen.push(text.trim());
            }
            if seen.len() > most {
                break;
            }
        }
        seen
    };
    Attributes::new(|key| match key {
        "units" => {
            let mut units = distinct(key, MOST_UNITS);
            if let Some(further) = units.get_mut(MOST_UNITS) {
                *further = "…";
            }
            (!units.is_empty()).then(|| units.join(", "))
        }
        _ => match distinct(key, 1).as_slice() {
            [value] => Some((*value).to_owned()),
            _ => None,
        },
    })
}

/// The origin of a query's rows.
#[derive(Default)]
struct Source {
    tables: Vec<String>,
    conditions: Vec<String>,
}

impl Source {
    fn collect(&mut self, plan: &LogicalPlan, tracer: &Tracer) {
        if let LogicalPlan::TableScan(scan) = plan {
            let name = scan.table_name.to_string();
            // Functions that generate rows are not a source of data.
            if !self.tables.contains(&name) && !name.ends_with("()") {
                self.tables.push(name);
            }
        }
        if let LogicalPlan::Filter(filter) = plan {
            let columns = tracer.meanings(&filter.input);
            let input = Input { schema: filter.input.schema(), columns: &columns, tracer };
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
        plan.inputs().into_iter().for_each(|input| self.collect(input, tracer));
    }
}
