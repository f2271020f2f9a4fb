//! Tabular operators: what may follow a pipe, and those that may begin a pipeline.

use super::Parser;
use crate::token::{Symbol, TokenKind};
use crate::tree::{
    Evaluate, Expr, ExprKind, ExternalData, ForkLeg, Join, MacroExpand, MakeSeries, MvExpand, MvExpandColumn, Name,
    NamedExpr, NestedLevel, Operator, OperatorKind, Pipeline, PluginSchema, Reduce, ReorderKey, SeriesAggregate,
    SortKey, Source, Union, UnionLeg,
};
use crate::{Diagnostic, Span};

/// Operators that KQL has and that are refused by name; see the issue tracker for when they come.
const KNOWN: &[&str] = &[
    "assert-schema",
    "graph-merge",
    "inline_external_table",
    "partition-by",
    "execute-and-cache",
    "graph",
    "__partitionby",
];

/// The operators that run; offered when a misspelt one stands after a pipe.
const SUPPORTED: &[&str] = &[
    "where",
    "filter",
    "extend",
    "project",
    "project-away",
    "project-keep",
    "project-rename",
    "project-reorder",
    "summarize",
    "take",
    "limit",
    "top",
    "sort",
    "order",
    "serialize",
    "distinct",
    "count",
    "join",
    "union",
    "mv-expand",
    "mvexpand",
    "render",
    "as",
    "consume",
    "reduce",
    "getschema",
    "invoke",
    "lookup",
    "make-series",
    "parse",
    "parse-kv",
    "parse-where",
    "sample",
    "sample-distinct",
    "mv-apply",
    "partition",
    "facet",
    "find",
    "fork",
    "project-by-names",
    "scan",
    "evaluate",
    "search",
    "top-nested",
    "top-hitters",
    "make-graph",
    "graph-match",
    "graph-shortest-paths",
    "graph-where-nodes",
    "graph-where-edges",
    "graph-mark-components",
    "graph-to-table",
];

/// The operators that can stand after a pipe, by name.
pub fn operators() -> impl Iterator<Item = &'static str> {
    SUPPORTED.iter().copied()
}

impl Parser<'_> {
    /// The operator after a pipe.
    pub(super) fn operator(&mut self) -> Operator {
        let start = self.span().start;
        if self.peek().kind != TokenKind::Name {
            self.error_expected("an operator such as 'where' or 'summarize' after '|'");
            return Operator { kind: OperatorKind::Error, span: self.span() };
        }
        let word = self.dashed_word();
        let span = self.span_from(start);
        let kind = self.operator_body(&word, span);
        Operator { kind, span: self.span_from(start) }
    }

    /// An operator that needs no input, where a pipeline begins.
    pub(super) fn source_operator(&mut self) -> Option<Operator> {
        if self.peek().kind != TokenKind::Name {
            return None;
        }
        let start = self.span().start;
        let next = &self.peek_ahead(1).kind;
        let word = self.text(self.peek());
        // `union`, `range` and the rest are also function or column names; what follows tells them apart.
        let starts_operand = !matches!(
            next,
            TokenKind::Symbol(
                Symbol::Pipe | Symbol::Semicolon | Symbol::CloseParen | Symbol::Comma | Symbol::Dot | Symbol::Equal
            ) | TokenKind::EndOfText
        );
        let is_operator = match word {
            "print" | "union" | "find" | "search" => starts_operand,
            "range" => matches!(next, TokenKind::Name | TokenKind::Symbol(Symbol::OpenBracket)),
            "externaldata" | "external_data" => *next == TokenKind::Symbol(Symbol::OpenParen),
            "evaluate" => *next == TokenKind::Name,
            "inline_external_table" => matches!(next, TokenKind::Symbol(Symbol::OpenParen) | TokenKind::Name),
            "entity_group" => *next == TokenKind::Symbol(Symbol::OpenBracket),
            "macro" => *next == TokenKind::Symbol(Symbol::Minus) && self.text(self.peek_ahead(2)) == "expand",
            _ => false,
        };
        if !is_operator {
            return None;
        }
        let word = self.dashed_word();
        let span = self.span_from(start);
        let kind = match word.as_str() {
            "print" => OperatorKind::Print(self.comma_separated(Self::named_expression)),
            "range" => self.range(),
            "union" => self.union(),
            "evaluate" => self.evaluate(),
            "search" => self.search(),
            "find" => OperatorKind::Find(self.find()),
            "externaldata" | "external_data" => OperatorKind::ExternalData(self.external_data()),
            "entity_group" => OperatorKind::EntityGroup(self.entities()),
            "macro-expand" => self.macro_expand(),
            _ => self.refuse(&word, span),
        };
        Some(Operator { kind, span: self.span_from(start) })
    }

    /// A word with dashes, such as `project-away`, where no white space stands around the dashes.
    pub(super) fn dashed_word(&mut self) -> String {
        let first = self.advance();
        let mut span = first.span;
        while self.at_symbol(Symbol::Minus)
            && self.span().start == span.end
            && self.peek_ahead(1).kind == TokenKind::Name
            && self.peek_ahead(1).span.start == self.span().end
        {
            self.advance();
            span = span.to(self.advance().span);
        }
        span.text(self.source).to_owned()
    }

    fn operator_body(&mut self, word: &str, span: Span) -> OperatorKind {
        match word {
            "where" | "filter" => {
                self.hints(&[]);
                OperatorKind::Where(self.expression())
            }
            "extend" => OperatorKind::Extend(self.comma_separated(Self::named_expression)),
            "project" => {
                if matches!(
                    self.peek().kind,
                    TokenKind::Symbol(Symbol::Pipe | Symbol::CloseParen) | TokenKind::EndOfText
                ) {
                    self.error_expected("a column");
                }
                OperatorKind::Project(self.comma_separated(Self::named_expression))
            }
            "project-away" => OperatorKind::ProjectAway(self.comma_separated(Self::name_pattern)),
            "project-keep" => OperatorKind::ProjectKeep(self.comma_separated(Self::name_pattern)),
            "project-by-names" => OperatorKind::ProjectByNames(self.comma_separated(Self::expression)),
            "project-rename" => OperatorKind::ProjectRename(self.comma_separated(Self::named_expression)),
            "project-reorder" => OperatorKind::ProjectReorder(self.comma_separated(Self::reorder_key)),
            "summarize" => self.summarize(),
            "take" | "limit" => OperatorKind::Take(self.expression()),
            "top" => self.top(),
            "sort" | "order" => {
                self.hints(&[]);
                self.expect_word("by");
                OperatorKind::Sort(self.comma_separated(Self::sort_key))
            }
            "serialize" => {
                let ends = matches!(
                    self.peek().kind,
                    TokenKind::Symbol(Symbol::Pipe | Symbol::CloseParen | Symbol::Semicolon | Symbol::CloseBrace)
                        | TokenKind::EndOfText
                );
                let items = if ends { Vec::new() } else { self.comma_separated(Self::named_expression) };
                OperatorKind::Serialize(items)
            }
            "distinct" => {
                self.hints(&[]);
                OperatorKind::Distinct(self.comma_separated(Self::named_expression))
            }
            "count" => OperatorKind::Count,
            "join" => match self.join() {
                Some(join) => OperatorKind::Join(join),
                None => OperatorKind::Error,
            },
            "lookup" => match self.join() {
                Some(join) => OperatorKind::Lookup(join),
                None => OperatorKind::Error,
            },
            "parse" | "parse-where" => self.parse(word == "parse-where"),
            "parse-kv" => self.parse_kv(),
            "make-series" => self.make_series(),
            "as" => {
                self.hints(&[]);
                OperatorKind::As(self.name("a name for the rows"))
            }
            "reduce" => self.reduce(),
            "consume" => {
                self.hints(&["decodeblocks"]);
                OperatorKind::Consume
            }
            "sample" => OperatorKind::Sample(self.expression()),
            "sample-distinct" => {
                let count = self.expression();
                self.expect_word("of");
                OperatorKind::SampleDistinct { count, of: self.named_expression() }
            }
            "getschema" => OperatorKind::GetSchema,
            "invoke" => self.invoke(),
            "union" => self.union(),
            "mv-expand" | "mvexpand" => OperatorKind::MvExpand(self.mv_expand(word == "mvexpand")),
            "mv-apply" | "mvapply" => {
                let expand = self.mv_expand(false);
                self.expect_word("on");
                OperatorKind::MvApply { expand, body: self.body() }
            }
            "evaluate" => self.evaluate(),
            "search" => self.search(),
            "fork" => self.fork(),
            "facet" => {
                self.expect_word("by");
                let by = self.comma_separated(|p| p.name("a column"));
                let body = self.take_word("with").then(|| self.body());
                OperatorKind::Facet { by, body }
            }
            "top-nested" => self.top_nested(),
            "top-hitters" => {
                let count = self.expression();
                self.expect_word("of");
                let of = self.named_expression();
                let by = self.take_word("by").then(|| self.expression());
                OperatorKind::TopHitters { count, of, by }
            }
            "partition" => {
                self.hints(&[]);
                self.expect_word("by");
                let by = self.name("a column");
                if self.take_symbol(Symbol::OpenBrace) {
                    let body = self.pipeline();
                    self.expect_symbol(Symbol::CloseBrace);
                    return OperatorKind::PartitionEach { by, body };
                }
                OperatorKind::Partition { by, body: self.body() }
            }
            "scan" => OperatorKind::Scan(self.scan()),
            "render" => self.render(),
            _ => self.graph_operator(word).unwrap_or_else(|| self.refuse(word, span)),
        }
    }

    fn refuse(&mut self, word: &str, span: Span) -> OperatorKind {
        if KNOWN.contains(&word) {
            self.report(Diagnostic::unsupported(span, word));
            self.recover();
            return OperatorKind::Unsupported(word.to_owned());
        }
        let mut diagnostic = Diagnostic::syntax(span, format!("there is no operator '{word}'"));
        if let Some(near) = crate::diagnostic::nearest(word, SUPPORTED.iter().chain(KNOWN).copied()) {
            diagnostic = diagnostic.with_hint(format!("Did you mean '{near}'?"));
        }
        self.report(diagnostic);
        OperatorKind::Error
    }

    /// Reads `name=value` pairs that stand between an operator and its operands. `hint.*` pairs change no
    /// result and are dropped; `wanted` ones are returned; others are an error.
    pub(super) fn hints(&mut self, wanted: &[&str]) -> Vec<(Name, Expr)> {
        let mut found = Vec::new();
        loop {
            let is_hint = self.at_word("hint") && self.peek_ahead(1).kind == TokenKind::Symbol(Symbol::Dot);
            let is_pair = self.peek().kind == TokenKind::Name
                && self.peek_ahead(1).kind == TokenKind::Symbol(Symbol::Equal)
                && wanted.contains(&self.text(self.peek()));
            if is_hint {
                self.at += 3;
            } else if is_pair {
                let name = self.name("a parameter");
                self.expect_symbol(Symbol::Equal);
                let value = self.parameter_value();
                found.push((name, value));
                continue;
            } else {
                return found;
            }
            self.expect_symbol(Symbol::Equal);
            self.parameter_value();
        }
    }

    /// A word or a literal.
    pub(super) fn parameter_value(&mut self) -> Expr {
        if let Some(literal) = self.literal() {
            return literal;
        }
        match self.try_name() {
            Some(name) => Expr { kind: ExprKind::Name(name.text), span: name.span },
            None => {
                self.error_expected("a value");
                Expr { kind: ExprKind::Error, span: self.span() }
            }
        }
    }

    pub(super) fn word_of(&mut self, value: Expr) -> Option<Name> {
        match value.kind {
            ExprKind::Name(text) => Some(Name { text, span: value.span }),
            _ => {
                self.report(Diagnostic::syntax(value.span, "expected a word"));
                None
            }
        }
    }

    fn summarize(&mut self) -> OperatorKind {
        self.hints(&[]);
        let mut aggregates = Vec::new();
        if !self.at_word("by") {
            aggregates = self.comma_separated(Self::named_expression);
        }
        let mut by = Vec::new();
        if self.take_word("by") {
            by = self.comma_separated(Self::named_expression);
        }
        OperatorKind::Summarize { aggregates, by }
    }

    fn top(&mut self) -> OperatorKind {
        let count = self.expression();
        self.expect_word("by");
        self.hints(&[]);
        OperatorKind::Top { count, keys: self.comma_separated(Self::sort_key) }
    }

    fn sort_key(&mut self) -> SortKey {
        let value = self.named_expression();
        let ascending = if self.take_word("asc") {
            Some(true)
        } else if self.take_word("desc") {
            Some(false)
        } else {
            None
        };
        let mut nulls_first = None;
        if self.take_word("nulls") {
            if self.take_word("first") {
                nulls_first = Some(true);
            } else if self.expect_word("last") {
                nulls_first = Some(false);
            }
        }
        SortKey { value, ascending, nulls_first }
    }

    fn reorder_key(&mut self) -> ReorderKey {
        let pattern = self.name_pattern();
        let ascending = if self.take_word("asc") {
            Some(true)
        } else if self.take_word("desc") {
            Some(false)
        } else {
            None
        };
        ReorderKey { pattern, ascending }
    }

    fn join(&mut self) -> Option<Join> {
        let kind = self.hints(&["kind"]).into_iter().find(|(name, _)| name.text == "kind");
        let kind = kind.and_then(|(_, value)| self.word_of(value));
        let right = self.operand_pipeline();
        let mut on = Vec::new();
        if self.expect_word("on") {
            on = self.comma_separated(Self::expression);
        }
        (!self.silenced).then(|| Join { kind, right: Box::new(right), on })
    }

    /// A table name, a call or a pipeline in parentheses.
    pub(super) fn operand_pipeline(&mut self) -> Pipeline {
        let span = self.span();
        let value = match self.try_name_source() {
            Some(expr) => expr,
            None => self.expression(),
        };
        match value.kind {
            ExprKind::Pipeline(pipeline) => *pipeline,
            _ => {
                let span = span.to(value.span);
                Pipeline { source: Source::Expression(value), operators: Vec::new(), span }
            }
        }
    }

    /// A bare table name, read before the word operators could take the `on` or `|` that follows it.
    fn try_name_source(&mut self) -> Option<Expr> {
        let simple = self.peek().kind == TokenKind::Name
            && !matches!(
                self.peek_ahead(1).kind,
                TokenKind::Symbol(Symbol::OpenParen | Symbol::Dot | Symbol::OpenBracket | Symbol::Star)
            );
        if !simple {
            return None;
        }
        let name = self.name("a table");
        Some(Expr { kind: ExprKind::Name(name.text), span: name.span })
    }

    fn union(&mut self) -> OperatorKind {
        let mut union = Union { kind: None, with_source: None, is_fuzzy: false, legs: Vec::new() };
        self.union_parameters(&mut union);
        union.legs = self.comma_separated(Self::union_leg);
        OperatorKind::Union(union)
    }

    fn union_parameters(&mut self, union: &mut Union) {
        for (name, value) in self.hints(&["kind", "withsource", "with_source", "isfuzzy"]) {
            match name.text.as_str() {
                "kind" => union.kind = self.word_of(value),
                "isfuzzy" => {
                    union.is_fuzzy = match value.kind {
                        ExprKind::Literal(crate::tree::Literal::Bool(Some(flag))) => flag,
                        _ => {
                            self.report(Diagnostic::syntax(value.span, "expected true or false"));
                            false
                        }
                    }
                }
                _ => union.with_source = self.word_of(value),
            }
        }
    }

    fn external_data(&mut self) -> ExternalData {
        self.expect_symbol(Symbol::OpenParen);
        let columns = self.comma_separated(Self::column_declaration);
        self.expect_symbol(Symbol::CloseParen);
        self.expect_symbol(Symbol::OpenBracket);
        let mut addresses = Vec::new();
        while !self.silenced && !self.at_end() && !self.at_symbol(Symbol::CloseBracket) {
            addresses.push(self.expression());
            // Old queries have no commas between addresses.
            self.take_symbol(Symbol::Comma);
        }
        self.expect_symbol(Symbol::CloseBracket);
        let mut properties = Vec::new();
        if self.at_word("with") && self.peek_ahead(1).kind == TokenKind::Symbol(Symbol::OpenParen) {
            self.at += 2;
            while !self.silenced && !self.at_end() && !self.at_symbol(Symbol::CloseParen) {
                let name = self.name("the name of a property");
                self.expect_symbol(Symbol::Equal);
                properties.push((name, self.expression()));
                if !self.take_symbol(Symbol::Comma) {
                    break;
                }
            }
            self.expect_symbol(Symbol::CloseParen);
        }
        ExternalData { columns, addresses, properties }
    }

    /// `[database("a"), database("b")]`.
    fn entities(&mut self) -> Vec<Expr> {
        self.expect_symbol(Symbol::OpenBracket);
        let entities = self.comma_separated(Self::expression);
        self.expect_symbol(Symbol::CloseBracket);
        entities
    }

    fn macro_expand(&mut self) -> OperatorKind {
        let mut union = Union { kind: None, with_source: None, is_fuzzy: false, legs: Vec::new() };
        self.union_parameters(&mut union);
        let start = self.span().start;
        let is_inline =
            self.at_word("entity_group") && self.peek_ahead(1).kind == TokenKind::Symbol(Symbol::OpenBracket);
        let group = if is_inline {
            self.advance();
            let kind = OperatorKind::EntityGroup(self.entities());
            let span = self.span_from(start);
            let source = Source::Operator(Box::new(Operator { kind, span }));
            let pipeline = Pipeline { source, operators: Vec::new(), span };
            Expr { kind: ExprKind::Pipeline(Box::new(pipeline)), span }
        } else {
            let name = self.name("a group of databases");
            Expr { kind: ExprKind::Name(name.text), span: name.span }
        };
        let scope = match (self.take_word("as"), &group.kind) {
            (true, _) => self.name("a name for the database"),
            (false, ExprKind::Name(name)) => Name { text: name.clone(), span: group.span },
            (false, _) => {
                self.error_expected("'as' and a name for the database");
                Name { text: String::new(), span: group.span }
            }
        };
        self.expect_symbol(Symbol::OpenParen);
        let body = self.nested(|p| p.script_until(Symbol::CloseParen)).unwrap_or_default();
        self.expect_symbol(Symbol::CloseParen);
        let Union { kind, with_source, is_fuzzy, .. } = union;
        OperatorKind::MacroExpand(MacroExpand { kind, with_source, is_fuzzy, group, scope, body })
    }

    pub(super) fn union_leg(&mut self) -> UnionLeg {
        let next = &self.peek_ahead(1);
        let wildcard = self.at_symbol(Symbol::Star)
            || (self.peek().kind == TokenKind::Name
                && next.kind == TokenKind::Symbol(Symbol::Star)
                && next.span.start == self.span().end);
        if wildcard {
            return UnionLeg::Wildcard(self.name_pattern());
        }
        UnionLeg::Pipeline(self.operand_pipeline())
    }

    fn reduce(&mut self) -> OperatorKind {
        let mut keeps_source = false;
        for (name, value) in self.hints(&["kind"]) {
            keeps_source = self.word_of(value).is_some_and(|word| word.text == "source");
            if !keeps_source {
                self.report(Diagnostic::syntax(name.span, "the only kind of 'reduce' is 'source'"));
            }
        }
        self.expect_word("by");
        let mut reduce = Reduce { keeps_source, by: self.named_expression(), threshold: None, characters: None };
        if self.take_word("with") {
            loop {
                let name = self.name("'threshold' or 'characters'");
                self.expect_symbol(Symbol::Equal);
                let value = self.expression();
                match name.text.as_str() {
                    "threshold" => reduce.threshold = Some(value),
                    "characters" => reduce.characters = Some(value),
                    _ => self.report(Diagnostic::syntax(name.span, "expected 'threshold' or 'characters'")),
                }
                if !self.take_symbol(Symbol::Comma) {
                    break;
                }
            }
        }
        OperatorKind::Reduce(reduce)
    }

    fn fork(&mut self) -> OperatorKind {
        let mut legs = Vec::new();
        while !self.silenced {
            let name = (self.peek().kind == TokenKind::Name).then(|| self.name("a name for the result"));
            if name.is_some() {
                self.expect_symbol(Symbol::Equal);
            } else if !self.at_symbol(Symbol::OpenParen) {
                break;
            }
            legs.push(ForkLeg { name, body: self.body() });
        }
        if legs.is_empty() {
            self.error_expected("operators in parentheses");
        }
        OperatorKind::Fork(legs)
    }

    fn top_nested(&mut self) -> OperatorKind {
        let levels = self.comma_separated(|p| {
            // The word stands before each level, with a dash.
            if p.at_word("top") && p.peek_ahead(1).kind == TokenKind::Symbol(Symbol::Minus) {
                p.dashed_word();
            }
            let count = (!p.at_word("of")).then(|| p.expression());
            p.expect_word("of");
            let of = p.named_expression();
            let mut others = None;
            if p.take_word("with") {
                p.expect_word("others");
                p.expect_symbol(Symbol::Equal);
                others = Some(p.expression());
            }
            p.expect_word("by");
            let by = p.named_expression();
            let ascending = p.take_word("asc");
            if !ascending {
                p.take_word("desc");
            }
            NestedLevel { count, of, others, by, ascending }
        });
        OperatorKind::TopNested(levels)
    }

    fn evaluate(&mut self) -> OperatorKind {
        self.hints(&[]);
        let plugin = self.name("a plugin");
        let call = self.call(plugin.clone());
        let arguments = match call.kind {
            ExprKind::Call { arguments, .. } => arguments,
            _ => Vec::new(),
        };
        let mut schema = None;
        if self.take_symbol(Symbol::Colon) {
            self.expect_symbol(Symbol::OpenParen);
            let keeps_input = self.take_symbol(Symbol::Star);
            let mut columns = Vec::new();
            if !keeps_input || self.take_symbol(Symbol::Comma) {
                columns = self.comma_separated(Self::column_declaration);
            }
            self.expect_symbol(Symbol::CloseParen);
            schema = Some(PluginSchema { keeps_input, columns });
        }
        OperatorKind::Evaluate(Evaluate { plugin, arguments, schema })
    }

    /// Operators in parentheses, whose rows come from the operator around them.
    pub(super) fn body(&mut self) -> Vec<Operator> {
        self.expect_symbol(Symbol::OpenParen);
        let read = |p: &mut Self| {
            let mut operators = vec![p.operator()];
            while !p.silenced && p.take_symbol(Symbol::Pipe) {
                operators.push(p.operator());
            }
            operators
        };
        let operators = self.nested(read).unwrap_or_default();
        self.expect_symbol(Symbol::CloseParen);
        operators
    }

    fn mv_expand(&mut self, is_legacy: bool) -> MvExpand {
        let mut expand =
            MvExpand { columns: Vec::new(), bag_as_array: false, item_index: None, limit: None, is_legacy };
        for (name, value) in self.hints(&["kind", "bagexpansion", "with_itemindex"]) {
            let Some(word) = self.word_of(value) else { continue };
            match (name.text.as_str(), word.text.as_str()) {
                ("with_itemindex", _) => expand.item_index = Some(word),
                (_, "array") => expand.bag_as_array = true,
                (_, "bag") => {}
                _ => self.report(Diagnostic::syntax(word.span, "expected 'bag' or 'array'")),
            }
        }
        expand.columns = self.comma_separated(|p| {
            let value = p.named_expression();
            let mut to_type = None;
            if p.take_word("to") {
                p.expect_word("typeof");
                p.expect_symbol(Symbol::OpenParen);
                to_type = Some(p.type_name());
                p.expect_symbol(Symbol::CloseParen);
            }
            MvExpandColumn { value, to_type }
        });
        if self.take_word("limit") {
            expand.limit = Some(self.expression());
        }
        expand
    }

    fn make_series(&mut self) -> OperatorKind {
        let mut is_nonempty = false;
        for (_, value) in self.hints(&["kind"]) {
            if let Some(word) = self.word_of(value) {
                match word.text.as_str() {
                    "nonempty" => is_nonempty = true,
                    _ => self.report(Diagnostic::syntax(word.span, "expected 'nonempty'")),
                }
            }
        }
        let aggregates = self.comma_separated(|p| {
            let value = p.named_expression();
            let default = if p.take_word("default") {
                p.expect_symbol(Symbol::Equal);
                Some(p.expression())
            } else {
                None
            };
            SeriesAggregate { value, default }
        });
        self.expect_word("on");
        let axis = self.axis();
        let (mut from, mut to, mut includes_end) = (None, None, false);
        let step = if self.take_word("in") {
            self.expect_word("range");
            self.expect_symbol(Symbol::OpenParen);
            from = Some(self.expression());
            self.expect_symbol(Symbol::Comma);
            to = Some(self.expression());
            self.expect_symbol(Symbol::Comma);
            let step = self.expression();
            self.expect_symbol(Symbol::CloseParen);
            includes_end = true;
            step
        } else {
            if self.take_word("from") {
                from = Some(self.expression());
            }
            if self.take_word("to") {
                to = Some(self.expression());
            }
            self.expect_word("step");
            self.expression()
        };
        let by = if self.take_word("by") { self.comma_separated(Self::named_expression) } else { Vec::new() };
        OperatorKind::MakeSeries(MakeSeries { is_nonempty, aggregates, axis, from, to, includes_end, step, by })
    }

    /// The axis of a series. A bare name is read by itself, since the word `in` may follow it.
    fn axis(&mut self) -> NamedExpr {
        let is_bare = self.peek().kind == TokenKind::Name
            && self.peek_ahead(1).kind == TokenKind::Name
            && self.text(self.peek_ahead(1)) == "in";
        if is_bare {
            let name = self.name("a column");
            let value = Expr { kind: ExprKind::Name(name.text), span: name.span };
            return NamedExpr { names: Vec::new(), is_tuple: false, value };
        }
        self.named_expression()
    }

    fn invoke(&mut self) -> OperatorKind {
        let function = self.name("a function");
        let call = self.call(function);
        match call.kind {
            ExprKind::Call { function, arguments } => OperatorKind::Invoke { function, arguments },
            _ => OperatorKind::Error,
        }
    }

    fn range(&mut self) -> OperatorKind {
        let column = self.name("a column name");
        self.expect_word("from");
        let from = self.expression();
        self.expect_word("to");
        let to = self.expression();
        self.expect_word("step");
        let step = self.expression();
        OperatorKind::Range { column, from, to, step }
    }

    fn render(&mut self) -> OperatorKind {
        let visualization = self.name("a chart type");
        let mut properties = Vec::new();
        let parenthesised = if self.take_word("with") { self.expect_symbol(Symbol::OpenParen) } else { false };
        while self.peek().kind == TokenKind::Name && self.peek_ahead(1).kind == TokenKind::Symbol(Symbol::Equal) {
            let Some(name) = self.try_name() else { break };
            self.advance();
            let value = self.parameter_value();
            // A list such as `ycolumns = a, b` belongs to its property until the next `name =`.
            properties.push((name.clone(), value));
            while self.at_symbol(Symbol::Comma)
                && self.peek_ahead(2).kind != TokenKind::Symbol(Symbol::Equal)
                && !self.silenced
            {
                self.advance();
                let value = self.parameter_value();
                properties.push((name.clone(), value));
            }
            self.take_symbol(Symbol::Comma);
        }
        if parenthesised {
            self.expect_symbol(Symbol::CloseParen);
        }
        OperatorKind::Render { visualization, properties }
    }
}
