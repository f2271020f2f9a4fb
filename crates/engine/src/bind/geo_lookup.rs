//! `evaluate geo_polygon_lookup` and `geo_line_lookup`: rows joined with the shapes that their places are in, or near.

use super::evaluate::argument;
use super::relation::{Relation, column, null, unique_name, wrong_type};
use super::{Binder, Names, Result, Scope, Typed, constant, internal};
use crate::functions::Kernel;
use crate::functions::geo;
use datafusion::common::JoinType;
use datafusion::logical_expr::ident;
use datafusion::scalar::ScalarValue;
use kql::tree::{Evaluate, Expr, ExprKind, Name};
use kql::{Diagnostic, Span, Type};

impl<'q> Binder<'q> {
    /// `geo_polygon_lookup(table, polygon, longitude, latitude [, radius] [, return_unmatched] [, lookup_area_radius]
    /// [, return_lookup_key])`; `geo_line_lookup` needs the radius.
    pub(super) fn geo_lookup(
        &mut self,
        input: Relation,
        evaluate: &'q Evaluate,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let is_line = evaluate.plugin.text == "geo_line_lookup";
        let shape_name = if is_line { "LookupLineKey" } else { "LookupPolygonKey" };
        let optional = |place: usize, name: &str| argument(&evaluate.arguments, place, name);
        let given = |place: usize, name: &str| {
            optional(place, name)
                .ok_or_else(|| Diagnostic::semantic(span, format!("{}() needs {name}", evaluate.plugin.text)))
        };
        let lookup = self.table_expression(given(0, "LookupTable")?, names)?.plain(span)?;
        let shape = given(1, shape_name)?;
        let ExprKind::Name(shape_name) = &shape.kind else {
            return Err(Diagnostic::semantic(shape.span, "expected the name of a column").into());
        };
        let shape_column = lookup.require(&Name { text: shape_name.clone(), span: shape.span })?.clone();
        if shape_column.column_type != Type::Dynamic {
            return Err(wrong_type(shape.span, "the column of shapes", shape_column.column_type, "dynamic"));
        }
        let (longitude, latitude) = (given(2, "SourceLongitude")?, given(3, "SourceLatitude")?);
        let radius = if is_line { Some(given(4, "radius")?) } else { optional(4, "radius") };
        let radius = radius.map(|radius| self.meters(radius, names)).transpose()?;
        let keeps_unmatched = self.flag(optional(5, "return_unmatched"), names)?;
        let keeps_shape = self.flag(optional(7, "return_lookup_key"), names)?;
        if keeps_unmatched {
            // The rows are computed twice, and must come out the same.
            self.needs_single_stream = true;
        }

        let mut input = input.plain(span)?;
        if keeps_unmatched {
            input = self.settled(input, span)?;
        }
        let columns = input.columns.clone();
        // The place of a row, under names that neither side has.
        let is_taken = |name: &str| columns.iter().chain(&lookup.columns).any(|c| c.name == name);
        let place_names = [unique_name("$longitude", is_taken), unique_name("$latitude", is_taken)];
        let scope = Scope { names: names.clone(), columns: &columns };
        let mut outputs = input.outputs();
        for (name, degrees) in place_names.iter().zip([longitude, latitude]) {
            let typed = self.expression(degrees, &scope)?;
            outputs.push((name.clone(), self.coerce(typed, Type::Real, degrees.span)?));
        }
        let rows = input.project(outputs, span)?;
        let (width, lookup_columns) = (rows.columns.len(), lookup.columns.clone());
        let crossed = self.join_relations(rows.clone(), lookup, Vec::new(), JoinType::Inner, span)?;
        let place = [0, 1].map(|i| ident(&crossed.columns[columns.len() + i].field));
        let shape_at = width + lookup_columns.iter().position(|c| c.name == shape_column.name).unwrap_or_default();
        let shape = ident(&crossed.columns[shape_at].field);
        let call = |kernel: &'static Kernel| {
            let [longitude, latitude] = place.clone();
            kernel.call(vec![longitude, latitude, shape.clone()])
        };
        let near = |kernel, meters: f64| call(kernel).lt_eq(datafusion::logical_expr::lit(meters));
        let is_match = match radius {
            None => call(&geo::POINT_IN_POLYGON),
            Some(meters) if is_line => near(&geo::DISTANCE_POINT_TO_LINE, meters),
            Some(meters) => near(&geo::DISTANCE_POINT_TO_POLYGON, meters),
        };
        let matched = crossed.filter(is_match, span)?;
        let is_shown = |i: usize| keeps_shape || i != shape_at;
        let shown: Vec<(String, Typed)> =
            matched.outputs().into_iter().enumerate().filter(|(i, _)| is_shown(*i)).map(|(_, o)| o).collect();
        let matched = matched.project(shown, span)?;
        let all = if keeps_unmatched {
            // Whether a row has a shape depends on its place alone.
            let pairs =
                place_names.iter().filter_map(|name| Some((column(rows.find(name)?), column(matched.find(name)?))));
            let unmatched =
                self.join_relations(rows.clone(), matched.clone(), pairs.collect(), JoinType::LeftAnti, span)?;
            let of_row = |i: usize| unmatched.columns.get(i).filter(|_| i < width).map(column);
            let outputs = matched.columns.iter().enumerate();
            let outputs =
                outputs.map(|(i, c)| (c.name.clone(), of_row(i).unwrap_or_else(|| null(c.column_type)))).collect();
            let unmatched = unmatched.project(outputs, span)?;
            self.unite(vec![(String::new(), matched), (String::new(), unmatched)], None, true, span)?
        } else {
            matched
        };
        let mut outputs = all.outputs();
        outputs.retain(|(name, _)| !place_names.contains(name));
        all.project(outputs, span)
    }

    fn meters(&mut self, radius: &'q Expr, names: &Names<'q>) -> Result<f64> {
        let typed = self.expression(radius, &Scope { names: names.clone(), columns: &[] })?;
        let typed = self.coerce(typed, Type::Real, radius.span)?;
        match constant::evaluate(&typed.expr).map_err(|e| internal(radius.span, &e))? {
            ScalarValue::Float64(Some(meters)) if meters >= 0.0 => Ok(meters),
            _ => Err(Diagnostic::semantic(radius.span, "the radius is a number of meters").into()),
        }
    }

    /// A flag that may be left out.
    fn flag(&mut self, given: Option<&'q Expr>, names: &Names<'q>) -> Result<bool> {
        let Some(flag) = given else { return Ok(false) };
        let value = self.condition(flag, "the option", &Scope { names: names.clone(), columns: &[] })?;
        match constant::evaluate(&value).map_err(|e| internal(flag.span, &e))? {
            ScalarValue::Boolean(Some(value)) => Ok(value),
            _ => Err(Diagnostic::semantic(flag.span, "expected true or false").into()),
        }
    }
}
