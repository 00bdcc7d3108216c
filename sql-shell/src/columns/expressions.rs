//! Derives the meanings of expressions from the meanings of their columns.

use atlas_udfs::synonyms::SYNONYMS;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Operator, WindowFunctionDefinition};
use datafusion::sql::unparser::expr_to_sql;

use super::Tracer;
use super::meaning::{Bin, Meaning};
use super::role::Role;
use super::units::{product, ratio, squared};

const DAY: f64 = 86_400.0;

/// The columns to which expressions refer.
pub(super) struct Input<'a> {
    pub schema: &'a DFSchema,
    pub columns: &'a [Meaning],
    /// Finds the meanings of the columns of subqueries.
    pub tracer: &'a Tracer,
}

impl Input<'_> {
    fn column(&self, column: &Column) -> Option<&Meaning> {
        self.columns.get(self.schema.maybe_index_of_column(column)?)
    }

    /// The meaning of an expression, with the name of its column.
    pub(super) fn meaning(&self, expression: &Expr) -> Meaning {
        let meaning = self.of(expression);
        let Meaning { role, units, .. } = &meaning;
        let name = text(expression, self);
        // An alias may indicate the role of an expression.
        let role = role.or_else(|| match units {
            None if matches!(expression, Expr::Alias(_)) && !meaning.amount => Meaning::named(&name).role,
            _ => None,
        });
        Meaning { name, role, ..meaning }
    }

    fn of(&self, expression: &Expr) -> Meaning {
        match expression {
            Expr::Column(column) => self.column(column).cloned().unwrap_or_default(),
            Expr::Alias(alias) => self.of(&alias.expr),
            Expr::Cast(cast) => self.of(&cast.expr),
            Expr::TryCast(cast) => self.of(&cast.expr),
            Expr::Negative(inner) => {
                let inner = self.of(inner);
                // Negated depths are heights.
                let role = inner.role.map(|role| match role {
                    Role::Vertical { down, sure } => Role::Vertical { down: !down, sure },
                    other => other,
                });
                Meaning { role, bin: None, ..inner }
            }
            Expr::BinaryExpr(binary) => self.of_binary(binary),
            Expr::Case(case) => self.of_case(case),
            Expr::ScalarSubquery(subquery) => {
                self.tracer.meanings(&subquery.subquery).into_iter().next().unwrap_or_default()
            }
            Expr::ScalarFunction(call) => self.of_function(call.name(), &call.args),
            Expr::AggregateFunction(call) => self.of_aggregate(call.func.name(), &call.params.args),
            Expr::WindowFunction(call) => match &call.fun {
                WindowFunctionDefinition::AggregateUDF(function) => {
                    self.of_aggregate(function.name(), &call.params.args)
                }
                WindowFunctionDefinition::WindowUDF(function) => {
                    self.of_aggregate(function.name(), &call.params.args)
                }
            },
            _ => Meaning::default(),
        }
    }

    fn of_binary(&self, binary: &BinaryExpr) -> Meaning {
        if let Some(bin) = self.bin_by_floor(binary) {
            return bin;
        }
        let (left, right) = (self.of(&binary.left), self.of(&binary.right));
        let literal = number(&binary.right).or_else(|| number(&binary.left));
        match binary.op {
            Operator::Plus | Operator::Minus | Operator::Modulo if literal.is_some() => {
                let meaning = if number(&binary.right).is_some() { left } else { right };
                let turns =
                    meaning.role == Some(Role::Longitude) && literal.is_some_and(|by| by % 180.0 == 0.0);
                // The added number may have other units, as in kelvins minus 273.15.
                if turns { Meaning { bin: None, ..meaning } } else { Meaning::default() }
            }
            Operator::Plus | Operator::Minus => {
                let signed = binary.op == Operator::Minus || left.signed;
                let common = left.common(&right);
                Meaning { signed, role: None, bin: None, independent: false, ..common }
            }
            Operator::Multiply | Operator::Divide if literal.is_some() => {
                Meaning { signed: left.signed || right.signed, ..Meaning::default() }
            }
            Operator::Multiply => Meaning { units: both(&left, &right, product), ..Meaning::default() },
            Operator::Divide => {
                let units = left.units.as_deref().zip(right.units.as_deref());
                Meaning { units: units.and_then(|(a, b)| ratio(a, b)), ..Meaning::default() }
            }
            _ => Meaning::default(),
        }
    }

    /// Recognises `floor(x / 10) * 10` and `round(x / 10) * 10`, also with half a width added.
    fn bin_by_floor(&self, binary: &BinaryExpr) -> Option<Meaning> {
        let width = number(&binary.right);
        match binary.op {
            Operator::Multiply => {
                let (call, width) = match width {
                    Some(width) => (&binary.left, width),
                    None => (&binary.right, number(&binary.left)?),
                };
                let Expr::ScalarFunction(call) = plain(call) else { return None };
                let bin = match call.name() {
                    "floor" => Bin::From(width),
                    "round" => Bin::Around(width),
                    _ => return None,
                };
                let [divided] = call.args.as_slice() else { return None };
                let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) = plain(divided)
                else {
                    return None;
                };
                let is_same = number(right)? == width && width > 0.0;
                is_same.then(|| Meaning { bin: Some(bin), ..self.of(left) })
            }
            Operator::Plus => {
                let Expr::BinaryExpr(inner) = plain(&binary.left) else { return None };
                let inner = self.bin_by_floor(inner)?;
                let Some(Bin::From(size)) = inner.bin else { return None };
                (width? * 2.0 == size).then_some(Meaning { bin: Some(Bin::Around(size)), ..inner })
            }
            _ => None,
        }
    }

    fn of_case(&self, case: &Case) -> Meaning {
        let results = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
        let values = results.filter(|result| !matches!(plain(result), Expr::Literal(..)));
        values.map(|value| self.of(value)).reduce(|all, one| all.common(&one)).unwrap_or_default()
    }

    /// The meaning of a scalar function's result.
    fn of_function(&self, name: &str, arguments: &[Expr]) -> Meaning {
        let argument = |at: usize| arguments.get(at).map(|argument| self.of(argument)).unwrap_or_default();
        let vertical = |down| Some(Role::Vertical { down, sure: true });
        match original(name) {
            "bin" => {
                let bin = arguments.get(1).and_then(number).filter(|width| *width > 0.0).map(Bin::From);
                Meaning { bin, ..argument(0) }
            }
            "floor" => Meaning { bin: Some(Bin::From(1.0)), ..argument(0) },
            "round" => {
                let digits = arguments.get(1).map_or(Some(0.0), number);
                Meaning { bin: digits.map(|digits| Bin::Around(10f64.powf(-digits))), ..argument(0) }
            }
            "ceil" | "trunc" | "nanvl" => Meaning { bin: None, ..argument(0) },
            "abs" => Meaning { bin: None, signed: false, ..argument(0) },
            "coalesce" | "nullif" | "greatest" | "least" | "ifnull" | "nvl" => {
                let values = arguments.iter().filter(|value| !matches!(plain(value), Expr::Literal(..)));
                values.map(|value| self.of(value)).reduce(|all, one| all.common(&one)).unwrap_or_default()
            }
            "normalize_lon" => Meaning { role: Some(Role::Longitude), ..argument(0) },
            "date_trunc" => Meaning { bin: arguments.first().and_then(calendar_bin), ..argument(1) },
            "date_bin" => Meaning { bin: arguments.first().and_then(interval_bin), ..argument(1) },
            "to_timestamp" | "cf_time" => Meaning { role: Some(Role::Time), ..Meaning::default() },
            "argo_best" => argument(1),
            "wind_speed" => Meaning { signed: false, ..argument(0) },
            "power" | "pow" if arguments.get(1).and_then(number) == Some(2.0) => {
                Meaning { units: argument(0).units.map(|units| squared(&units)), ..Meaning::default() }
            }
            "convert_units" => {
                let units = match arguments.get(2).map(plain) {
                    Some(Expr::Literal(value, _)) => value.try_as_str().flatten().map(str::to_owned),
                    _ => None,
                };
                Meaning { units, bin: None, ..argument(0) }
            }
            "depth_from_pressure" => {
                Meaning { units: Some("m".to_owned()), role: vertical(true), ..Meaning::default() }
            }
            "pressure_from_depth" => {
                Meaning { units: Some("dbar".to_owned()), role: vertical(true), ..Meaning::default() }
            }
            _ => of_known(name),
        }
    }

    /// The meaning of an aggregate function's result.
    fn of_aggregate(&self, name: &str, arguments: &[Expr]) -> Meaning {
        let argument = |at: usize| arguments.get(at).map(|argument| self.of(argument)).unwrap_or_default();
        // Aggregates that return a value of the column, or one between its values, keep its
        // meaning. If the column is a coordinate, so is the result.
        let value = |meaning: Meaning| Meaning { independent: false, bin: None, ..meaning };
        let units = |units: Option<String>| Meaning { units, ..Meaning::default() };
        match original(name) {
            "avg"
            | "min"
            | "max"
            | "median"
            | "approx_median"
            | "percentile_cont"
            | "mode"
            | "approx_percentile_cont"
            | "approx_percentile_cont_with_weight"
            | "first_value"
            | "last_value"
            | "nth_value"
            | "any_value"
            | "first_valid"
            | "last_valid"
            | "arg_max"
            | "arg_min"
            | "lag"
            | "lead"
            | "nanmean"
            | "nanmedian"
            | "nanmin"
            | "nanmax"
            | "weighted_mean"
            | "area_mean"
            | "circular_mean" => value(argument(0)),
            "interp" => value(argument(2)),
            "sum" | "nansum" => Meaning { amount: true, role: None, ..value(argument(0)) },
            "count" | "approx_distinct" => Meaning { amount: true, ..Meaning::default() },
            "stddev" | "stddev_pop" | "stddev_samp" | "nanstd" | "mad" | "iqr" | "rms" => {
                units(argument(0).units)
            }
            "bias" | "rmse" => {
                let common = argument(0).common(&argument(1)).units;
                Meaning { signed: name == "bias", ..units(common) }
            }
            "var" | "var_pop" | "var_samp" | "nanvar" => {
                units(argument(0).units.map(|of_value| squared(&of_value)))
            }
            "covar" | "covar_pop" | "covar_samp" => units(both(&argument(0), &argument(1), product)),
            "regr_slope" => {
                let (y, x) = (argument(0).units, argument(1).units);
                units(y.zip(x).and_then(|(y, x)| ratio(&y, &x)))
            }
            "regr_intercept" | "regr_avgy" => units(argument(0).units),
            "regr_avgx" => units(argument(1).units),
            "integrate" => units(both(&argument(1), &argument(0), product)),
            "linear_trend" | "linear_trend_error" | "theil_sen" => {
                let per_year = argument(0).units.and_then(|of_value| ratio(&of_value, "year"));
                Meaning { signed: name != "linear_trend_error", ..units(per_year) }
            }
            "corr" | "spearman" | "skewness" => Meaning { signed: true, ..Meaning::default() },
            _ => of_known(name),
        }
    }
}

/// The function of which a name is a synonym.
fn original(name: &str) -> &str {
    SYNONYMS.iter().find(|(synonym, _)| *synonym == name).map_or(name, |(_, original)| original)
}

/// The meaning of functions that return values in fixed units.
fn of_known(name: &str) -> Meaning {
    let units = match original(name) {
        "absolute_salinity" => "g/kg",
        "conservative_temperature" | "freezing_temperature" => "degC",
        "potential_density" | "sigma0" | "sigma1" | "sigma2" | "spiciness" => "kg/m³",
        "sound_speed" => "m/s",
        "potential_temperature" | "dewpoint" | "heat_index" => "K",
        "saturation_vapor_pressure" => "Pa",
        "relative_humidity" | "completeness" => "1",
        "mixed_layer_depth" => "dbar",
        "nsquared" => "1/s²",
        "haversine" => "m",
        "cell_area" => "m²",
        "initial_bearing" | "wind_direction" | "solar_zenith" => "degrees",
        _ => return Meaning::default(),
    };
    let units = (units != "1").then(|| units.to_owned());
    Meaning { units, ..Meaning::default() }
}

fn both(a: &Meaning, b: &Meaning, of: fn(&str, &str) -> String) -> Option<String> {
    let units = a.units.as_deref().zip(b.units.as_deref());
    units.map(|(a, b)| of(a, b))
}

/// An expression without enclosing casts and aliases.
fn plain(expression: &Expr) -> &Expr {
    match expression {
        Expr::Cast(cast) => plain(&cast.expr),
        Expr::TryCast(cast) => plain(&cast.expr),
        Expr::Alias(alias) => plain(&alias.expr),
        other => other,
    }
}

/// The number that an expression denotes.
fn number(expression: &Expr) -> Option<f64> {
    match plain(expression) {
        Expr::Literal(value, _) if value.data_type().is_numeric() => {
            match value.cast_to(&arrow::datatypes::DataType::Float64).ok()? {
                ScalarValue::Float64(number) => number,
                _ => None,
            }
        }
        Expr::Negative(inner) => Some(-number(inner)?),
        _ => None,
    }
}

/// The bin of `date_trunc`.
fn calendar_bin(unit: &Expr) -> Option<Bin> {
    let Expr::Literal(unit, _) = plain(unit) else { return None };
    Some(match unit.try_as_str().flatten()?.to_ascii_lowercase().as_str() {
        "year" => Bin::Months(12),
        "quarter" => Bin::Months(3),
        "month" => Bin::Months(1),
        "week" => Bin::From(7.0 * DAY),
        "day" => Bin::From(DAY),
        "hour" => Bin::From(3600.0),
        "minute" => Bin::From(60.0),
        "second" => Bin::From(1.0),
        _ => return None,
    })
}

/// The bin of `date_bin`.
fn interval_bin(interval: &Expr) -> Option<Bin> {
    let Expr::Literal(interval, _) = plain(interval) else { return None };
    let (months, days, nanoseconds) = match interval {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            (interval.months, interval.days, interval.nanoseconds)
        }
        ScalarValue::IntervalYearMonth(Some(months)) => (*months, 0, 0),
        ScalarValue::IntervalDayTime(Some(interval)) => {
            (0, interval.days, i64::from(interval.milliseconds) * 1_000_000)
        }
        _ => return None,
    };
    match (u32::try_from(months).ok()?, f64::from(days) * DAY + nanoseconds as f64 / 1e9) {
        (0, seconds) if seconds > 0.0 => Some(Bin::From(seconds)),
        (months, 0.0) if months > 0 => Some(Bin::Months(months)),
        _ => None,
    }
}

/// An expression as SQL, with unqualified column names.
pub(super) fn text(expression: &Expr, input: &Input<'_>) -> String {
    let compound = match expression {
        Expr::Alias(alias) => return alias.name.clone(),
        Expr::Column(column) => {
            return input.column(column).map_or(&column.name, |meaning| &meaning.name).clone();
        }
        other => other.clone(),
    };
    let named = compound.transform(|part| {
        Ok(match &part {
            Expr::Column(column) => {
                let name = input.column(column).map_or(&column.name, |meaning| &meaning.name).clone();
                Transformed::yes(Expr::Column(Column::from_name(name)))
            }
            // `TIMESTAMP '2015-01-01'` is a cast text.
            Expr::Cast(cast) if matches!(*cast.expr, Expr::Literal(..)) => {
                Transformed::yes((*cast.expr).clone())
            }
            _ => Transformed::no(part),
        })
    });
    let named = named.map_or_else(|_| expression.clone(), |named| named.data);
    let written =
        expr_to_sql(&named).map(|sql| sql.to_string().replace('"', "").replace("count(1)", "count(*)"));
    without_parentheses(written.unwrap_or_else(|_| expression.schema_name().to_string()))
}

/// Removes parentheses around a whole expression.
fn without_parentheses(text: String) -> String {
    let Some(inner) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) else { return text };
    let mut depth = 0i32;
    let are_pair = inner.chars().all(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth >= 0
    });
    if are_pair { inner.to_owned() } else { text }
}
