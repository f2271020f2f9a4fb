//! Plugins that count users over time: activity, retention, sessions, funnels and sequences.
//!
//! Each is a query over rows with the columns `_id`, `_t` and those that divide them, which keep their names. A window
//! of time is named by its beginning. Windows are counted from the start that the plugin is given.

use super::relation::{Column, Relation, column};
use super::template::{Given, listed, quoted};
use super::{Binder, Names, Result, Scope, Typed};
use crate::json;
use datafusion::scalar::ScalarValue;
use kql::tree::{Argument, Evaluate, Expr, ExprKind, Literal, Name};
use kql::{Diagnostic, Span, Type};
use serde_json::Value;

/// A funnel has no more steps than these.
const STEPS_MAX: usize = 32;

/// A percentile rolls over no more bins than these.
const BINS_MAX: i64 = 10_000;
/// So many users are shown for each row of a funnel.
const SAMPLES_MAX: usize = 128;

/// The arguments of a plugin, as they are taken one by one.
struct Arguments<'q> {
    plugin: &'q Name,
    rest: std::slice::Iter<'q, Argument>,
    columns: Vec<Column>,
    names: Names<'q>,
    span: Span,
    /// What the query over the rows is given.
    given: Vec<(&'static str, Given)>,
    /// The columns of the rows.
    outputs: Vec<(String, Typed)>,
    /// The columns of the answer by the names that the query over the rows gives them, which no user can mistake, and
    /// what they are called in the end.
    shown: Vec<(String, String)>,
}

impl<'q> Arguments<'q> {
    fn new(input: &Relation, evaluate: &'q Evaluate, span: Span, names: &Names<'q>) -> Arguments<'q> {
        Arguments {
            plugin: &evaluate.plugin,
            rest: evaluate.arguments.iter(),
            columns: input.columns.clone(),
            names: names.clone(),
            span,
            given: Vec::new(),
            outputs: Vec::new(),
            shown: Vec::new(),
        }
    }

    /// What a column of the answer is called in the end.
    fn show(&mut self, name: &str, shown: &str) {
        self.shown.push((name.to_owned(), shown.to_owned()));
    }

    /// An error where arguments are left over.
    fn end(&mut self) -> Result<()> {
        let Some(extra) = self.rest.next() else { return Ok(()) };
        let message = format!("{}() takes no more arguments", self.plugin.text);
        Err(Diagnostic::semantic(extra.value.span, message).into())
    }

    fn next(&mut self, what: &str) -> Result<&'q Expr> {
        match self.rest.next() {
            Some(argument) => Ok(&argument.value),
            None => {
                let message = format!("{}() needs {what}", self.plugin.text);
                Err(Diagnostic::semantic(self.span, message).into())
            }
        }
    }

    fn find(&self, expr: &Expr) -> Option<Column> {
        let ExprKind::Name(name) = &expr.kind else { return None };
        self.columns.iter().find(|c| c.name == *name).cloned()
    }

    /// The next argument, a column; the rows of the query have it as `name`.
    fn column(&mut self, name: &str, what: &str) -> Result<Column> {
        let expr = self.next(what)?;
        let Some(found) = self.find(expr) else {
            let message = format!("{what} of {}() must be a column", self.plugin.text);
            return Err(Diagnostic::semantic(expr.span, message).into());
        };
        self.outputs.push((name.to_owned(), column(&found)));
        Ok(found)
    }

    /// The columns that are left, by which the rows are divided.
    fn dimensions(&mut self) -> Result<Vec<Column>> {
        let mut found: Vec<Column> = Vec::new();
        while self.rest.len() > 0 {
            let expr = self.next("a column")?;
            let Some(dimension) = self.find(expr).filter(|c| c.column_type != Type::Dynamic) else {
                let message = "the rows are divided by columns, of any type but dynamic";
                return Err(Diagnostic::semantic(expr.span, message).into());
            };
            if self.shown.iter().all(|(_, shown)| *shown != dimension.name) {
                let name = format!("_d{}", found.len());
                self.outputs.push((name.clone(), column(&dimension)));
                self.show(&name, &dimension.name);
                found.push(Column { name, ..dimension });
            }
        }
        Ok(found)
    }
}

/// How windows follow each other.
enum Step {
    By,
    Calendar(&'static str),
}

impl Step {
    /// The beginning of the window of a time.
    fn start(&self, of: &str) -> String {
        match self {
            Step::By => format!("bin_at({of}, _step, _start)"),
            Step::Calendar(unit) => format!("startof{unit}({of})"),
        }
    }

    /// The beginning of the next window.
    fn next(&self, of: &str) -> String {
        match self {
            Step::By => format!("{of} + _step"),
            Step::Calendar(unit) => format!("datetime_add('{unit}', 1, {of})"),
        }
    }
}

impl<'q> Binder<'q> {
    /// The next argument, a value that is the same for all rows; the query knows it as `name`.
    fn value(&mut self, arguments: &mut Arguments<'q>, name: &'static str, what: &str) -> Result<Type> {
        let expr = arguments.next(what)?;
        let scope = Scope { names: arguments.names.clone(), columns: &[] };
        let typed = self.expression(expr, &scope)?;
        let value_type = typed.value_type;
        arguments.given.push((name, Given::Value(typed)));
        Ok(value_type)
    }

    /// The next argument, the length of a window: a number or time, or the name of a part of the calendar.
    fn step(&mut self, arguments: &mut Arguments<'q>) -> Result<Step> {
        let text = arguments.rest.as_slice().first().and_then(|a| match &a.value.kind {
            ExprKind::Literal(Literal::String(text)) => Some((text.as_str(), a.value.span)),
            _ => None,
        });
        let Some((text, span)) = text else {
            self.value(arguments, "_step", "the length of a window")?;
            return Ok(Step::By);
        };
        arguments.next("the length of a window")?;
        match ["week", "month", "year"].into_iter().find(|unit| *unit == text) {
            Some(unit) => Ok(Step::Calendar(unit)),
            None => Err(Diagnostic::semantic(span, "a window is 'week', 'month', 'year' or a length").into()),
        }
    }

    /// The next argument, an array that is the same for all rows; how many items it has.
    fn array(&mut self, arguments: &mut Arguments<'q>, name: &'static str, what: &str) -> Result<usize> {
        let expr = arguments.next(what)?;
        let typed = self.expression(expr, &Scope { names: arguments.names.clone(), columns: &[] })?;
        let value = super::constant::evaluate(&typed.expr).map_err(|e| super::internal(expr.span, &e))?;
        let items = match value {
            ScalarValue::Utf8View(Some(text)) if typed.value_type == Type::Dynamic => match json::tree(&text) {
                Value::Array(items) => items.len(),
                _ => 0,
            },
            _ => 0,
        };
        arguments.given.push((name, Given::Value(typed)));
        if (1..=STEPS_MAX).contains(&items) {
            return Ok(items);
        }
        let message = format!("{what} must be an array of 1 to {STEPS_MAX} items");
        Err(Diagnostic::semantic(expr.span, message).into())
    }

    pub(super) fn analytics(
        &mut self,
        input: Relation,
        evaluate: &'q Evaluate,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let input = input.plain(span)?;
        let mut arguments = Arguments::new(&input, evaluate, span, names);
        let text = match evaluate.plugin.text.as_str() {
            "active_users_count" => self.active_users_count(&mut arguments)?,
            "activity_counts_metrics" => self.activity_counts_metrics(&mut arguments)?,
            "activity_engagement" => self.activity_engagement(&mut arguments)?,
            "activity_metrics" => self.activity_metrics(&mut arguments)?,
            "funnel_sequence_completion" => self.funnel_sequence_completion(&mut arguments)?,
            "new_activity_metrics" => self.new_activity_metrics(&mut arguments)?,
            "rolling_percentile" => self.rolling_percentile(&mut arguments)?,
            "sequence_detect" => self.sequence_detect(&mut arguments)?,
            "session_count" => self.session_count(&mut arguments)?,
            _ => self.sliding_window_counts(&mut arguments)?,
        };
        arguments.end()?;
        let rows = input.project(arguments.outputs, span)?;
        let rows = self.settled(rows, span)?;
        let mut given = arguments.given;
        given.push(("_rows", Given::Rows(rows)));
        let answer = self.expand(&text, given, span)?;
        named_as(answer, &arguments.shown, span)
    }

    /// The arguments with which most begin: an id, a time, and the range of times that count, both ends included.
    fn users(&mut self, arguments: &mut Arguments<'q>) -> Result<Column> {
        arguments.column("_id", "the id")?;
        let time = arguments.column("_t", "the time")?;
        arguments.show("_time", &time.name);
        self.value(arguments, "_start", "the start")?;
        self.value(arguments, "_end", "the end")?;
        Ok(time)
    }

    /// `session_count(id, time, start, end, bin, lookback, dimensions...)`.
    fn session_count(&mut self, arguments: &mut Arguments<'q>) -> Result<String> {
        self.users(arguments)?;
        self.value(arguments, "_bin", "the bin")?;
        self.value(arguments, "_lookback", "the time between sessions")?;
        let dimensions = arguments.dimensions()?;
        let by = listed(&dimensions);
        let same: String = dimensions.iter().map(|c| format!(" and prev({0}) == {0}", quoted(&c.name))).collect();
        Ok(format!(
            "_rows | where _t between (_start .. _end) | sort by _id asc{by_sorted}, _t asc
            | extend _new = row_number() == 1 or not(prev(_id) == _id{same} and _t - prev(_t) < _lookback)
            | where _new
            | summarize count_sessions = count() by _time = bin(_t, _bin){by}
            | sort by _time asc",
            by_sorted = ascending(&dimensions),
        ))
    }

    /// `active_users_count(id, time, start, end, lookback, period, active_periods, bin, dimensions...)`.
    fn active_users_count(&mut self, arguments: &mut Arguments<'q>) -> Result<String> {
        self.users(arguments)?;
        self.value(arguments, "_lookback", "the look-back window")?;
        self.value(arguments, "_period", "the period")?;
        self.value(arguments, "_active", "the number of active periods")?;
        let step = self.step(arguments)?;
        let by = listed(&arguments.dimensions()?);
        Ok(format!(
            "_rows | where _t between (_start .. _end) | distinct _id, _t{by}
            | join kind=inner (_rows | project _id, _u = _t{by}) on _id{by}
            | where _u > _t - _lookback and _u <= _t
            | summarize _periods = count_distinct(bin(_u, _period)) by _id, _t{by}
            | where _periods >= _active
            | summarize dcount = dcount(_id) by _time = {window}{by}
            | sort by _time asc",
            window = step.start("_t"),
        ))
    }

    /// `activity_counts_metrics(id, time, start, end, step, dimensions...)`.
    fn activity_counts_metrics(&mut self, arguments: &mut Arguments<'q>) -> Result<String> {
        self.users(arguments)?;
        let step = self.step(arguments)?;
        let dimensions = arguments.dimensions()?;
        let by = listed(&dimensions);
        let changes: String = dimensions.iter().map(|c| format!(" or prev({0}) != {0}", quoted(&c.name))).collect();
        Ok(format!(
            "let _seen = _rows | where _t between (_start .. _end) | extend _w = {window};
            let _first = _seen | summarize _w = min(_w) by _id{by} | summarize _new = count() by _w{by};
            _seen | summarize _count = count(), _dcount = dcount(_id) by _w{by}
            | join kind=leftouter (_first) on _w{by}
            | extend _new = coalesce(_new, 0)
            | sort by {before}_w asc
            | project _time = _w{by}, ['count'] = _count, ['dcount'] = _dcount, new_dcount = _new,
                aggregated_dcount = row_cumsum(_new, row_number() == 1{changes})
            | sort by _time asc{sorted}",
            window = step.start("_t"),
            before = dimensions.iter().map(|c| format!("{} asc, ", quoted(&c.name))).collect::<String>(),
            sorted = ascending(&dimensions),
        ))
    }

    /// `activity_metrics(id, time, start, end, step, dimensions...)` or `activity_metrics(id, time [, step])`: each
    /// window compared with the one before it.
    fn activity_metrics(&mut self, arguments: &mut Arguments<'q>) -> Result<String> {
        let is_short = arguments.rest.len() <= 3;
        let (_, step, range, window) = if is_short {
            arguments.column("_id", "the id")?;
            let time = arguments.column("_t", "the time")?;
            arguments.show("_time", &time.name);
            if arguments.rest.len() == 0 {
                let day = Typed::new(super::expression::long(kql::timespan::TICKS_PER_DAY), Type::TimeSpan);
                arguments.given.push(("_step", Given::Value(day)));
            } else {
                self.value(arguments, "_step", "the length of a window")?;
            }
            (time, Step::By, "| where isnotnull(_t)".to_owned(), "bin(_t, _step)".to_owned())
        } else {
            let time = self.users(arguments)?;
            let step = self.step(arguments)?;
            let window = step.start("_t");
            (time, step, "| where _t between (_start .. _end)".to_owned(), window)
        };
        let dimensions = arguments.dimensions()?;
        let by = listed(&dimensions);
        Ok(format!(
            "let _seen = _rows {range} | extend _w = {window} | distinct _id, _w{by};
            let _earlier = _seen | extend _w = {next};
            _seen | join kind=leftouter (_earlier | extend _was = true) on _id, _w{by}
            | summarize _values = count(), _new = countif(isnull(_was)), _kept = countif(_was) by _w{by}
            | join kind=leftouter (_earlier | summarize _before = count() by _w{by}) on _w{by}
            | extend _retained = toreal(_kept) / coalesce(_before, 0)
            | project _time = _w{by}, dcount_values = _values, dcount_newvalues = _new,
                retention_rate = _retained, churn_rate = 1 - _retained
            | sort by _time asc{sorted}",
            next = step.next("_w"),
            sorted = ascending(&dimensions),
        ))
    }

    /// `activity_engagement(id, time [, start, end], inner, outer, dimensions...)`: the users of a window, and those of
    /// the longer one that ends with it.
    fn activity_engagement(&mut self, arguments: &mut Arguments<'q>) -> Result<String> {
        let (time, range, window) = if arguments.rest.len() <= 4 {
            arguments.column("_id", "the id")?;
            let time = arguments.column("_t", "the time")?;
            arguments.show("_time", &time.name);
            (time, "", "bin(_t, _inner)")
        } else {
            (self.users(arguments)?, "| where _t between (_start .. _end)", "bin_at(_t, _inner, _start)")
        };
        self.value(arguments, "_inner", "the inner window")?;
        self.value(arguments, "_outer", "the outer window")?;
        let dimensions = arguments.dimensions()?;
        let by = listed(&dimensions);
        Ok(format!(
            "let _seen = _rows {range} | extend _w = {window} | distinct _id, _w{by};
            let _inside = _seen | summarize _i = count() by _w{by};
            let _around = _seen | mv-expand _w = range(_w, _w + _outer - _inner, _inner) to typeof({of})
                | distinct _id, _w{by} | summarize _o = count() by _w{by};
            _inside | join kind=inner (_around) on _w{by}
            | project _time = _w{by}, dcount_activities_inner = _i, dcount_activities_outer = _o,
                activity_ratio = toreal(_i) / _o
            | sort by _time asc{sorted}",
            of = time.column_type,
            sorted = ascending(&dimensions),
        ))
    }

    /// `sliding_window_counts(id, time, start, end, lookback, bin, dimensions...)`.
    fn sliding_window_counts(&mut self, arguments: &mut Arguments<'q>) -> Result<String> {
        let time = self.users(arguments)?;
        self.value(arguments, "_lookback", "the look-back window")?;
        let step = self.step(arguments)?;
        let dimensions = arguments.dimensions()?;
        let by = listed(&dimensions);
        let windows = match step {
            Step::By => {
                let last = "bin(_t, _step) + max_of(_lookback, _step) - _step";
                format!("mv-expand _w = range(bin(_t, _step), {last}, _step) to typeof({})", time.column_type)
            }
            // The windows of the calendar differ in length: those that begin within the look-back.
            Step::Calendar(unit) => format!(
                "extend _b = startof{unit}(_t)
                | mv-expand _n = range(0, datetime_diff('{unit}', _b + _lookback, _b), 1) to typeof(long)
                | extend _w = datetime_add('{unit}', _n, _b) | where _n == 0 or _w < _b + _lookback"
            ),
        };
        let last = match step {
            Step::By => "bin(_end, _step)".to_owned(),
            Step::Calendar(unit) => format!("startof{unit}(_end)"),
        };
        Ok(format!(
            "_rows | where _t between (_start .. _end) | {windows} | where _w <= {last}
            | summarize Count = count(), Dcount = dcount(_id) by _time = _w{by}
            | sort by _time asc{sorted}",
            sorted = ascending(&dimensions),
        ))
    }

    /// `new_activity_metrics(id, time, start, end, window [, cohort] [, dimensions...] [, lookback])`: what becomes of
    /// those who are first seen in a window.
    fn new_activity_metrics(&mut self, arguments: &mut Arguments<'q>) -> Result<String> {
        let time = self.users(arguments)?;
        let step = self.step(arguments)?;
        let known = match arguments.rest.as_slice().split_last() {
            Some((last, before)) if self.is_tabular_expression(&last.value, &arguments.names) => {
                let rows = self.table_expression(&last.value, &arguments.names)?.plain(arguments.span)?;
                arguments.rest = before.iter();
                Some(rows)
            }
            _ => None,
        };
        let is_cohort = arguments.rest.as_slice().first().is_some_and(|a| arguments.find(&a.value).is_none());
        if is_cohort {
            self.value(arguments, "_cohort", "the cohort")?;
        }
        let dimensions = arguments.dimensions()?;
        let by = listed(&dimensions);
        let id = arguments.columns.iter().find(|c| arguments.outputs[0].1.expr == column(c).expr);
        let unknown = match (known, id) {
            (Some(rows), Some(id)) => {
                rows.require(&Name { text: id.name.clone(), span: arguments.span })?;
                let text = format!("| join kind=leftanti (_known | project _id = {}) on _id", quoted(&id.name));
                arguments.given.push(("_known", Given::Rows(rows)));
                text
            }
            _ => String::new(),
        };
        let (windows, cohort) = match step {
            Step::By => (
                format!("mv-expand _to = range(_from, _end, _step) to typeof({})", time.column_type),
                "bin_at(_cohort, _step, _start)".to_owned(),
            ),
            Step::Calendar(unit) => (
                format!(
                    "mv-expand _n = range(0, datetime_diff('{unit}', _end, _from), 1) to typeof(long)
                    | extend _to = datetime_add('{unit}', _n, _from) | where _to <= _end"
                ),
                format!("startof{unit}(_cohort)"),
            ),
        };
        arguments.show("_from", &format!("from_{}", time.name));
        arguments.show("_to", &format!("to_{}", time.name));
        let only = if is_cohort { format!("| where _from == {cohort}") } else { String::new() };
        Ok(format!(
            "let _seen = _rows | where _t between (_start .. _end) {unknown}
                | extend _w = {window} | distinct _id, _w{by};
            let _first = _seen | summarize _from = min(_w) by _id{by};
            let _met = _seen | join kind=inner (_first) on _id{by}
                | summarize _n = count() by _to = _w, _since = _from{by};
            _first | summarize _size = count() by _from{by} {only} | {windows}
            | project _from, _to, _size{by}
            | join kind=leftouter (_met) on _to{by}
            | summarize _later = sumif(_n, _since > _from), _kept = sumif(_n, _since == _from) by _from, _to, _size{by}
            | extend _new = iff(_to == _from, _size, _later)
            | project _from, _to{by}, dcount_new_values = _new, dcount_retained_values = _kept,
                dcount_churn_values = _size - _kept, retention_rate = toreal(_kept) / _size,
                churn_rate = toreal(_size - _kept) / _size
            | sort by _from asc, _to asc{sorted}",
            window = step.start("_t"),
            sorted = ascending(&dimensions),
        ))
    }

    /// `rolling_percentile(value, percentile, index, bin, bins, dimensions...)`.
    fn rolling_percentile(&mut self, arguments: &mut Arguments<'q>) -> Result<String> {
        let value = arguments.column("_v", "the value")?;
        let percentile = arguments.next("the percentile")?;
        let scope = Scope { names: arguments.names.clone(), columns: &[] };
        let typed = self.expression(percentile, &scope)?;
        let typed = self.convert(typed, Type::Real, percentile.span)?;
        let percentile = match super::constant::evaluate(&typed.expr) {
            Ok(ScalarValue::Float64(Some(number))) if (0.0..=100.0).contains(&number) => number,
            _ => return Err(Diagnostic::semantic(percentile.span, "a percentile is a number from 0 to 100").into()),
        };
        let index = arguments.column("_t", "the index")?;
        arguments.show("_time", &index.name);
        self.value(arguments, "_bin", "the bin")?;
        let bins_expr = arguments.next("the number of bins")?;
        let typed = self.expression(bins_expr, &scope)?;
        let typed = self.convert(typed, Type::Long, bins_expr.span)?;
        let bins = match super::constant::evaluate(&typed.expr) {
            Ok(ScalarValue::Int64(Some(number))) if (1..=BINS_MAX).contains(&number) => number,
            _ => {
                let message = format!("the number of bins is from 1 to {BINS_MAX}");
                return Err(Diagnostic::semantic(bins_expr.span, message).into());
            }
        };
        let dimensions = arguments.dimensions()?;
        arguments.show("_rolling", &format!("rolling_{bins}_percentile_{}_{percentile}", value.name));
        let by = listed(&dimensions);
        Ok(format!(
            "let _binned = _rows | extend _b = bin(_t, _bin);
            _binned | mv-expand _w = range(_b, _b + {last} * _bin, _bin) to typeof({of})
            | join kind=inner (_binned | distinct _b{by} | project _w = _b{by}) on _w{by}
            | summarize _rolling = percentile(_v, {percentile}) by _time = _w{by}
            | sort by _time asc{sorted}",
            last = bins - 1,
            of = index.column_type,
            sorted = ascending(&dimensions),
        ))
    }

    /// `funnel_sequence_completion(id, time, start, end, bin, state, sequence, periods)`: how many get how far within
    /// how long.
    fn funnel_sequence_completion(&mut self, arguments: &mut Arguments<'q>) -> Result<String> {
        self.users(arguments)?;
        let step = self.step(arguments)?;
        let state = arguments.column("_s", "the state")?;
        arguments.show("_state", &state.name);
        let steps = self.array(arguments, "_sequence", "the sequence")?;
        let periods = self.array(arguments, "_periods", "the periods")?;
        let mut text = format!(
            "let _seen = _rows | where _t between (_start .. _end)
                | project _id, _t, _w = {window}, _s = tostring(_s);
            let _n0 = _seen | where _s == tostring(_sequence[0]) | project _id, _w, _begin = _t, _at = _t;",
            window = step.start("_t"),
        );
        for i in 1..steps {
            text += &format!(
                "let _n{i} = _n{before}
                    | join kind=inner (_seen | where _s == tostring(_sequence[{i}]) | project _id, _w, _t) on _id, _w
                    | where _t > _at | summarize _at = min(_t) by _id, _w, _begin;",
                before = i - 1,
            );
        }
        let reached: Vec<String> =
            (0..steps).map(|i| format!("(_n{i} | project _id, _w, _i = {i}, _took = _at - _begin)")).collect();
        let numbers: Vec<String> = (0..periods).map(|i| i.to_string()).collect();
        text += &format!(
            "union {reached} | extend _one = 1
            | join kind=inner (print _p = pack_array({numbers}) | mv-expand _p to typeof(long) | extend _one = 1) on _one
            | extend _period = totimespan(_periods[_p])
            | where _i == 0 or _took <= _period
            | summarize _d = dcount(_id) by _w, _p, _period, _i
            | sort by _w asc, _p asc, _i asc
            | project _time = _w, _state = tostring(_sequence[_i]), Period = _period, ['dcount'] = _d",
            reached = reached.join(", "),
            numbers = numbers.join(", "),
        );
        Ok(text)
    }

    /// `funnel_sequence(id, time, start, end, step window, bin, state, sequence)`: what comes right before and right
    /// after a sequence of states that follow each other; the pairs of both, those before, those after.
    pub(super) fn funnel_sequence(
        &mut self,
        input: Relation,
        evaluate: &'q Evaluate,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Vec<Relation>> {
        let input = input.plain(span)?;
        let mut arguments = Arguments::new(&input, evaluate, span, names);
        self.users(&mut arguments)?;
        self.value(&mut arguments, "_within", "the longest time between steps")?;
        let window = self.step(&mut arguments)?.start("_t");
        let state = arguments.column("_s", "the state")?;
        let steps = self.array(&mut arguments, "_sequence", "the sequence")?;
        arguments.end()?;
        let rows = input.project(arguments.outputs, span)?;
        let rows = self.settled(rows, span)?;
        let names_shown = arguments.shown.clone();
        // A row's value, or that of a row before it.
        let at = |column: &str, back: usize| match back {
            0 => column.to_owned(),
            _ => format!("prev({column}, {back})"),
        };
        let same_user = |back: usize| format!("{} == _id and {} == _w", at("_id", back), at("_w", back));
        // Looking from the last state of the sequence back to the first.
        let state_at = |back: usize| format!("{} == tostring(_sequence[{}])", at("_s", back), steps - 1 - back);
        let mut followed = vec![state_at(0)];
        for back in 1..steps {
            let near = format!("{} - {} <= _within", at("_t", back - 1), at("_t", back));
            followed.extend([same_user(back), state_at(back), near]);
        }
        let found = format!(
            "let _found = _rows | where _t between (_start .. _end)
                | project _id, _t, _w = {window}, _s = tostring(_s)
                | sort by _id asc, _w asc, _t asc
                | extend _is = {followed},
                    _prev = iff({same_user}, prev(_s, {steps}), ''),
                    _next = iff(next(_id) == _id and next(_w) == _w, next(_s), '')
                | where _is;",
            followed = followed.join(" and "),
            same_user = same_user(steps),
        );
        let given: Vec<(&'static str, Typed)> = arguments
            .given
            .into_iter()
            .filter_map(|(name, given)| match given {
                Given::Value(typed) => Some((name, typed)),
                Given::Rows(_) => None,
            })
            .collect();
        let of_state = format!("to{}", state.column_type);
        let results = [
            ("_prev, _next", format!("prev = {of_state}(_prev), next = {of_state}(_next)")),
            ("_prev", format!("prev = {of_state}(_prev)")),
            ("_next", format!("next = {of_state}(_next)")),
        ];
        let mut relations = Vec::new();
        for (by, shown) in results {
            let text = format!(
                "{found} _found | summarize _d = dcount(_id), _ids = make_set(_id, {SAMPLES_MAX}) by _w, {by}
                | sort by _w asc, _d desc, {sorted} | project _time = _w, {shown}, ['dcount'] = _d, samples = _ids",
                sorted = by.replace(',', " asc,") + " asc",
            );
            let mut given: Vec<(&str, Given)> =
                given.iter().map(|(name, typed)| (*name, Given::Value(typed.clone()))).collect();
            given.push(("_rows", Given::Rows(rows.clone())));
            let answer = self.expand(&text, given, span)?;
            relations.push(named_as(answer, &names_shown, span)?);
        }
        Ok(relations)
    }

    /// `sequence_detect(time, step window, span, conditions..., dimensions...)`: rows that meet the conditions one
    /// after the other.
    fn sequence_detect(&mut self, arguments: &mut Arguments<'q>) -> Result<String> {
        let time = arguments.column("_t", "the time")?;
        self.value(arguments, "_within", "the longest time between steps")?;
        self.value(arguments, "_span", "the longest time in all")?;
        let columns = arguments.columns.clone();
        let scope = Scope { names: arguments.names.clone(), columns: &columns };
        let mut steps: Vec<String> = Vec::new();
        while let Some(argument) = arguments.rest.as_slice().first() {
            let typed = self.expression(&argument.value, &scope)?;
            if typed.value_type != Type::Bool {
                break;
            }
            arguments.rest.next();
            let name = match (&argument.name, &argument.value.kind) {
                (Some(name), _) => name.text.clone(),
                (None, ExprKind::Name(name)) => name.clone(),
                _ => String::new(),
            };
            arguments.outputs.push((format!("_s{}", steps.len()), typed));
            steps.push(name);
        }
        if steps.is_empty() || steps.len() > STEPS_MAX {
            let message = format!("sequence_detect() needs 1 to {STEPS_MAX} conditions after the two windows");
            return Err(Diagnostic::semantic(arguments.span, message).into());
        }
        let dimensions = arguments.dimensions()?;
        let by = listed(&dimensions);
        let mut text = format!("let _n0 = _rows | where _s0 | extend _one = 1 | project _one, _t0 = _t{by};");
        for i in 1..steps.len() {
            let earlier: String = (0..i).map(|k| format!(", _t{k}")).collect();
            text += &format!(
                "let _n{i} = _n{before}
                    | join kind=inner (_rows | where _s{i} | extend _one = 1 | project _one, _t{i} = _t{by}) on _one{by}
                    | where _t{i} >= _t{before} and _t{i} - _t{before} <= _within and _t{i} - _t0 <= _span
                    | distinct _one{earlier}, _t{i}{by};",
                before = i - 1,
            );
        }
        let last = steps.len() - 1;
        let mut times = String::new();
        for (i, step) in steps.iter().enumerate() {
            arguments.show(&format!("_at{i}"), &format!("{step}_{}", time.name));
            times += &format!(", _at{i} = _t{i}");
        }
        text += &format!(
            "_n{last} | sort by _t0 asc{rest}{sorted} | project {shown}, Duration = totimespan(_t{last} - _t0)",
            rest = (1..steps.len()).map(|i| format!(", _t{i} asc")).collect::<String>(),
            sorted = ascending(&dimensions),
            shown = format!("{by}{times}").trim_start_matches(", "),
        );
        Ok(text)
    }
}

/// `, ['a'] asc`: columns to add to an order.
fn ascending(columns: &[Column]) -> String {
    columns.iter().map(|c| format!(", {} asc", quoted(&c.name))).collect()
}

/// An answer with the names that its columns have in the end.
fn named_as(answer: Relation, shown: &[(String, String)], span: Span) -> Result<Relation> {
    let mut outputs: Vec<(String, Typed)> = Vec::new();
    for (name, typed) in answer.outputs() {
        let wanted = shown.iter().find(|(own, _)| *own == name).map_or(&name, |(_, shown)| shown);
        let wanted = super::relation::unique_name(wanted, |n| outputs.iter().any(|(known, _)| known == n));
        outputs.push((wanted, typed));
    }
    answer.project(outputs, span)
}
