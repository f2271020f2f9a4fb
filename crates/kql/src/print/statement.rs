//! Statements, the functions in them, and pipelines.

use super::expression::leading;
use super::{Printer, literal};
use crate::tree::{
    Accessible, Expr, ExprKind, Function, LetValue, Parameter, ParameterKind, Pattern, PatternCase, Pipeline, Script,
    Source, Statement,
};

impl Printer {
    /// Statements with an empty line between each two.
    pub(super) fn paragraphs(&mut self, script: &Script) {
        for (i, statement) in script.statements.iter().enumerate() {
            if i > 0 {
                self.write(";\n");
                self.line();
            }
            self.statement(statement);
        }
    }

    /// Statements in brackets, without empty lines.
    pub(super) fn body_script(&mut self, open: &str, script: &Script, close: &str) {
        if script.statements.is_empty() {
            self.write(open);
            return self.write(close);
        }
        self.block(open, close, |p| {
            for (i, statement) in script.statements.iter().enumerate() {
                if i > 0 {
                    p.write(";");
                    p.line();
                }
                p.statement(statement);
            }
        });
    }

    fn statement(&mut self, statement: &Statement) {
        self.nested(|p| p.statement_here(statement));
    }

    fn statement_here(&mut self, statement: &Statement) {
        match statement {
            Statement::Let { name, value, .. } => {
                self.write("let ");
                self.name(name);
                self.write(" = ");
                self.let_value(value);
            }
            Statement::Set { option, value, .. } => {
                self.write("set ");
                self.name(option);
                if let Some(value) = value {
                    self.write(" = ");
                    self.expression(value);
                }
            }
            Statement::Parameters(parameters) => {
                self.write("declare query_parameters(");
                self.listed(parameters, Self::parameter);
                self.write(")");
            }
            Statement::Pattern(pattern) => self.pattern(pattern),
            Statement::Alias { name, value } => {
                self.write("alias database ");
                self.name(name);
                self.write(" = ");
                self.expression(value);
            }
            Statement::Restrict(entities) => {
                self.write("restrict access to (");
                self.listed(entities, Self::accessible);
                self.write(")");
            }
            Statement::Query(pipeline) => self.pipeline(pipeline),
        }
    }

    fn let_value(&mut self, value: &LetValue) {
        match value {
            LetValue::Expression(pipeline) => {
                match &pipeline.source {
                    Source::Expression(expr) if begins_with_view(expr) => self.enclosed(expr),
                    source => self.source(source),
                }
                self.piped(pipeline);
            }
            LetValue::Function(function) => self.function(function),
        }
    }

    fn function(&mut self, function: &Function) {
        self.write(if function.is_view { "view (" } else { "(" });
        self.listed(&function.parameters, Self::parameter);
        self.write(") ");
        self.body_script("{", &function.body, "}");
    }

    fn parameter(&mut self, parameter: &Parameter) {
        self.name(&parameter.name);
        match &parameter.kind {
            ParameterKind::Scalar(of) => {
                self.write(": ");
                self.write(of.name());
            }
            ParameterKind::Table(columns) => {
                self.write(": (");
                if columns.is_empty() {
                    self.write("*");
                }
                self.listed(columns, Self::column_declaration);
                self.write(")");
            }
        }
        if let Some(default) = &parameter.default {
            self.write(" = ");
            self.expression(default);
        }
    }

    fn pattern(&mut self, pattern: &Pattern) {
        self.write("declare pattern ");
        self.name(&pattern.name);
        // Without arguments it is only announced.
        if pattern.arguments.is_empty() {
            return;
        }
        self.write(" = (");
        self.listed(&pattern.arguments, Self::column_declaration);
        self.write(")");
        if let Some(path) = &pattern.path {
            self.write("[");
            self.column_declaration(path);
            self.write("]");
        }
        self.write(" ");
        if pattern.cases.is_empty() {
            return self.write("{}");
        }
        self.block("{", "}", |p| {
            for (i, case) in pattern.cases.iter().enumerate() {
                if i > 0 {
                    p.line();
                }
                p.pattern_case(case);
            }
        });
    }

    fn pattern_case(&mut self, case: &PatternCase) {
        self.write("(");
        self.listed(&case.arguments, Self::expression);
        self.write(")");
        if let Some(path) = &case.path {
            self.write(&format!(".[{}]", literal::string(path)));
        }
        self.write(" = ");
        self.body_script("{", &case.body.body, "}");
        self.write(";");
    }

    fn accessible(&mut self, entity: &Accessible) {
        match entity.database.as_deref() {
            None => {}
            Some("") => self.write("database()."),
            Some(database) => self.write(&format!("database({}).", literal::string(database))),
        }
        self.name_pattern(&entity.name);
    }

    /// A source of rows and its operators, each of which begins a line.
    pub(super) fn pipeline(&mut self, pipeline: &Pipeline) {
        self.source(&pipeline.source);
        self.piped(pipeline);
    }

    fn source(&mut self, source: &Source) {
        match source {
            Source::Expression(expr) => self.expression(expr),
            Source::Operator(operator) => self.operator(operator),
        }
    }

    fn piped(&mut self, pipeline: &Pipeline) {
        for operator in &pipeline.operators {
            self.line();
            self.write("| ");
            self.operator(operator);
        }
    }
}

/// Whether the text begins with `view(`, which after `let name =` announces a function.
fn begins_with_view(expr: &Expr) -> bool {
    let (first, _) = leading(expr);
    matches!(&first.kind, ExprKind::Call { function, .. } if function.text == "view")
}
