//! Queries of every class, and the comparison of their answers.

use arrow::datatypes::{DataType, Schema};

use crate::generate::predicate;

/// Queries of every class over a table `t` with these columns, chosen by `picks`; and whether the
/// order of their rows matters.
pub fn queries(schema: &Schema, dims: &[String], picks: &[u32], nan_as_null: bool) -> Vec<(bool, String)> {
    let columns: Vec<(&str, &DataType)> =
        schema.fields().iter().map(|field| (field.name().as_str(), field.data_type())).collect();
    let pick = |i: usize| picks[i % picks.len()] as usize;
    let column = |i: usize| columns[pick(i) % columns.len()];
    let numbers: Vec<&str> =
        columns.iter().filter(|(_, of)| of.is_numeric()).map(|(name, _)| *name).collect();
    // If NaN is kept, least and greatest values depend on the order of rows.
    let ordered = |of: &DataType| {
        (nan_as_null || !of.is_floating()) && !matches!(of, DataType::BinaryView | DataType::Boolean)
    };
    let aggregates = |i: usize| {
        let mut aggregates = vec!["count(*)".to_owned(), format!("count(\"{}\")", column(i).0)];
        if !numbers.is_empty() {
            let number = numbers[pick(i + 1) % numbers.len()];
            aggregates.extend([format!("sum(\"{number}\")"), format!("avg(\"{number}\")")]);
            // Aggregates that statistics cannot answer, beside some that they can.
            if pick(i).is_multiple_of(3) {
                aggregates.push(format!("sum(\"{number}\" + 1)"));
            }
        }
        let (name, of) = column(i + 2);
        if ordered(of) {
            aggregates.extend([format!("min(\"{name}\")"), format!("max(\"{name}\")")]);
        }
        aggregates.join(", ")
    };
    let mut keys = vec!["dataset".to_owned(), "concat(dataset, '!')".to_owned()];
    for (name, of) in &columns {
        if ["kind", "level", "score"].contains(name) {
            keys.push(format!("\"{name}\""));
        }
        let base = name.strip_prefix("dim.").or(name.split('.').next());
        if dims.iter().any(|dim| Some(dim.as_str()) == base) && *name != "dataset" {
            keys.push(format!("\"{name}\""));
            match of {
                DataType::Timestamp(..) => keys.push(format!("date_trunc('week', \"{name}\")")),
                of if of.is_numeric() => keys.push(format!("round(\"{name}\")")),
                _ => {}
            }
        }
    }
    let filter = |i: usize| {
        let terms = (0..1 + pick(i) % 2).map(|term| {
            let (name, of) = column(i + term + 3);
            predicate(name, of, picks[(i * 3 + term) % picks.len()])
        });
        terms.collect::<Vec<_>>().join(if pick(i) % 4 == 0 { " OR " } else { " AND " })
    };
    let mut queries = vec![(false, format!("SELECT {} FROM t", aggregates(0)))];
    for i in 0..3 {
        queries.push((false, format!("SELECT {} FROM t WHERE {}", aggregates(i + 1), filter(i))));
        let chosen: Vec<_> =
            (0..1 + pick(i) % 3).map(|key| keys[pick(i + key + 5) % keys.len()].clone()).collect();
        let (list, aggregates) = (chosen.join(", "), aggregates(i + 2));
        queries.push((false, format!("SELECT {list}, {aggregates} FROM t GROUP BY {list}")));
        queries.push((
            false,
            format!(
                "SELECT {list}, {aggregates} FROM t WHERE {} GROUP BY {list} HAVING count(*) > 1",
                filter(i + 1)
            ),
        ));
    }
    for (i, number) in numbers.iter().enumerate().take(2) {
        // An aggregate of a column's values, under a predicate on that column: NULLs do not matter.
        let of = columns.iter().find(|(name, _)| name == number).map_or(&DataType::Float64, |(_, of)| of);
        let chosen = predicate(number, of, picks[(i + 7) % picks.len()]);
        let bounds = if ordered(of) { format!(", min(\"{number}\")") } else { String::new() };
        let list = format!("count(\"{number}\"), sum(\"{number}\"), avg(\"{number}\"){bounds}");
        queries.push((false, format!("SELECT {list} FROM t WHERE {chosen}")));
        queries.push((false, format!("SELECT dataset, {list} FROM t WHERE {chosen} GROUP BY dataset")));
    }
    queries.push((false, format!("SELECT DISTINCT {} FROM t", keys[pick(3) % keys.len()])));
    let (first, of) = column(4);
    if ordered(of) {
        let direction = if pick(5).is_multiple_of(2) { "ASC" } else { "DESC NULLS LAST" };
        // Ties may come in any order, so only the sort key is selected.
        queries.push((true, format!("SELECT \"{first}\" FROM t ORDER BY \"{first}\" {direction} LIMIT 4")));
        queries.push((true, format!("SELECT \"{first}\" FROM t ORDER BY \"{first}\" DESC LIMIT 3")));
    }
    queries.push((
        false,
        format!(
            "SELECT t.dataset, count(*) FROM t JOIN (VALUES ('d1'), ('d3')) AS w(name) ON t.dataset = w.name
             WHERE t.\"{}\" IS NOT NULL GROUP BY t.dataset",
            column(6).0
        ),
    ));
    if let Some(number) = numbers.first() {
        queries.push((
            false,
            format!("SELECT t.dataset, t.\"{number}\" FROM t JOIN (VALUES (1), (4)) AS w(x) ON t.\"{number}\" = w.x"),
        ));
    }
    queries
}

/// Compares the cells of rows. Floats may differ in their last digits.
pub fn same(found: &[String], expected: &[String]) -> bool {
    let near = |a: &str, b: &str| {
        let (Ok(a), Ok(b)) = (a.parse::<f64>(), b.parse::<f64>()) else { return false };
        // Sums that cancel out are as uncertain as their values are large.
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs().max(b.abs()) + 1e-11
    };
    let same_row = |a: &String, b: &String| {
        let (a, b): (Vec<_>, Vec<_>) = (a.split('|').collect(), b.split('|').collect());
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a == b || near(a, b))
    };
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| same_row(a, b))
}
