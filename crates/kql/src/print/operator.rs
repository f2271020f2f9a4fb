//! Tabular operators.

use super::Printer;
use super::expression::leading;
use crate::tree::{
    Evaluate, Expr, ExprKind, ExternalData, ForkLeg, Join, Literal, MacroExpand, MakeSeries, MvExpand, Name, NamedExpr,
    NestedLevel, Operator, OperatorKind, Pipeline, Reduce, ReorderKey, SortKey, Source, Union, UnionLeg,
};

impl Printer {
    pub(super) fn operator(&mut self, operator: &Operator) {
        self.nested(|p| p.operator_here(&operator.kind));
    }

    fn operator_here(&mut self, kind: &OperatorKind) {
        match kind {
            OperatorKind::Where(condition) => self.word_and_expression("where", condition),
            OperatorKind::Extend(items) => self.word_and_items("extend", items),
            OperatorKind::Project(items) => self.word_and_items("project", items),
            OperatorKind::ProjectAway(patterns) => {
                self.write("project-away ");
                self.listed(patterns, Self::name_pattern);
            }
            OperatorKind::ProjectKeep(patterns) => {
                self.write("project-keep ");
                self.listed(patterns, Self::name_pattern);
            }
            OperatorKind::ProjectByNames(names) => {
                self.write("project-by-names ");
                self.listed(names, Self::expression);
            }
            OperatorKind::ProjectRename(items) => self.word_and_items("project-rename", items),
            OperatorKind::ProjectReorder(keys) => {
                self.write("project-reorder ");
                self.listed(keys, Self::reorder_key);
            }
            OperatorKind::Summarize { aggregates, by } => {
                self.write("summarize");
                self.write(if aggregates.is_empty() { "" } else { " " });
                self.listed(aggregates, Self::named_expression);
                self.by_items(by);
            }
            OperatorKind::Take(count) => self.word_and_expression("take", count),
            OperatorKind::Top { count, keys } => {
                self.word_and_expression("top", count);
                self.write(" by ");
                self.listed(keys, Self::sort_key);
            }
            OperatorKind::Sort(keys) => {
                self.write("sort by ");
                self.listed(keys, Self::sort_key);
            }
            OperatorKind::Serialize(items) if items.is_empty() => self.write("serialize"),
            OperatorKind::Serialize(items) => self.word_and_items("serialize", items),
            OperatorKind::Distinct(items) => self.word_and_items("distinct", items),
            OperatorKind::Count => self.write("count"),
            OperatorKind::Join(join) => self.join("join", join),
            OperatorKind::Lookup(join) => self.join("lookup", join),
            OperatorKind::Union(union) => self.union(union),
            OperatorKind::MvExpand(expand) => {
                self.mv_expand(if expand.is_legacy { "mvexpand" } else { "mv-expand" }, expand);
            }
            OperatorKind::MvApply { expand, body } => {
                self.mv_expand("mv-apply", expand);
                self.write(" on ");
                self.body(body);
            }
            OperatorKind::Evaluate(evaluate) => self.evaluate(evaluate),
            OperatorKind::Search(search) => self.search(search),
            OperatorKind::Find(find) => self.find(find),
            OperatorKind::Fork(legs) => self.fork(legs),
            OperatorKind::Facet { by, body } => {
                self.write("facet by ");
                self.listed(by, Self::name);
                if let Some(body) = body {
                    self.write(" with ");
                    self.body(body);
                }
            }
            OperatorKind::TopNested(levels) => self.listed(levels, Self::nested_level),
            OperatorKind::TopHitters { count, of, by } => {
                self.word_and_expression("top-hitters", count);
                self.write(" of ");
                self.named_expression(of);
                self.clause(" by ", by.as_ref());
            }
            OperatorKind::Partition { by, body } => {
                self.write("partition by ");
                self.name(by);
                self.write(" ");
                self.body(body);
            }
            OperatorKind::PartitionEach { by, body } => {
                self.write("partition by ");
                self.name(by);
                self.block(" {", "}", |p| p.pipeline(body));
            }
            OperatorKind::Scan(scan) => self.scan(scan),
            OperatorKind::Parse(parse) => self.parse(parse),
            OperatorKind::ParseKv(parse) => self.parse_kv(parse),
            OperatorKind::MakeSeries(series) => self.make_series(series),
            OperatorKind::As(name) => {
                self.write("as ");
                self.name(name);
            }
            OperatorKind::Reduce(reduce) => self.reduce(reduce),
            OperatorKind::Consume => self.write("consume"),
            OperatorKind::Sample(count) => self.word_and_expression("sample", count),
            OperatorKind::SampleDistinct { count, of } => {
                self.word_and_expression("sample-distinct", count);
                self.write(" of ");
                self.named_expression(of);
            }
            OperatorKind::GetSchema => self.write("getschema"),
            OperatorKind::Invoke { function, arguments } => {
                self.write("invoke ");
                self.name(function);
                self.arguments(arguments);
            }
            OperatorKind::MakeGraph(graph) => self.make_graph(graph),
            OperatorKind::GraphMatch(graph) => self.graph_match(graph),
            OperatorKind::GraphWhereNodes(condition) => self.word_and_expression("graph-where-nodes", condition),
            OperatorKind::GraphWhereEdges(condition) => self.word_and_expression("graph-where-edges", condition),
            OperatorKind::GraphMarkComponents(components) => self.graph_components(components),
            OperatorKind::GraphToTable(tables) => {
                self.write("graph-to-table ");
                self.listed(tables, Self::graph_table);
            }
            OperatorKind::ExternalData(data) => self.external_data(data),
            OperatorKind::EntityGroup(entities) => {
                self.write("entity_group [");
                self.listed(entities, Self::expression);
                self.write("]");
            }
            OperatorKind::MacroExpand(expand) => self.macro_expand(expand),
            OperatorKind::Print(items) => self.word_and_items("print", items),
            OperatorKind::Range { column, from, to, step } => {
                self.write("range ");
                self.name(column);
                self.clause(" from ", Some(from));
                self.clause(" to ", Some(to));
                self.clause(" step ", Some(step));
            }
            OperatorKind::Render { visualization, properties } => self.render(visualization, properties),
            OperatorKind::Unsupported(word) => self.write(word),
            OperatorKind::Error => {}
        }
    }

    pub(super) fn word_and_expression(&mut self, word: &str, expr: &Expr) {
        self.write(word);
        self.write(" ");
        self.expression(expr);
    }

    fn word_and_items(&mut self, word: &str, items: &[NamedExpr]) {
        self.write(word);
        self.write(" ");
        self.listed(items, Self::named_expression);
    }

    /// A word and what belongs to it, when there is something.
    pub(super) fn clause(&mut self, word: &str, expr: Option<&Expr>) {
        if let Some(expr) = expr {
            self.write(word);
            self.expression(expr);
        }
    }

    fn by_items(&mut self, by: &[NamedExpr]) {
        if !by.is_empty() {
            self.write(" by ");
            self.listed(by, Self::named_expression);
        }
    }

    fn direction(&mut self, ascending: Option<bool>) {
        self.write(match ascending {
            Some(true) => " asc",
            Some(false) => " desc",
            None => "",
        });
    }

    fn reorder_key(&mut self, key: &ReorderKey) {
        self.name_pattern(&key.pattern);
        self.direction(key.ascending);
    }

    fn sort_key(&mut self, key: &SortKey) {
        self.named_expression(&key.value);
        self.direction(key.ascending);
        self.write(match key.nulls_first {
            Some(true) => " nulls first",
            Some(false) => " nulls last",
            None => "",
        });
    }

    /// Operators in parentheses, on lines of their own if there are several.
    pub(super) fn body(&mut self, operators: &[Operator]) {
        if let [operator] = operators {
            self.write("(");
            self.operator(operator);
            return self.write(")");
        }
        self.block("(", ")", |p| {
            for (i, operator) in operators.iter().enumerate() {
                if i > 0 {
                    p.line();
                    p.write("| ");
                }
                p.operator(operator);
            }
        });
    }

    /// A pipeline where one table stands: by its name or a call, or in parentheses.
    pub(super) fn operand(&mut self, pipeline: &Pipeline) {
        let stands_bare = match &pipeline.source {
            Source::Expression(expr) if pipeline.operators.is_empty() => is_table_like(expr),
            _ => false,
        };
        match &pipeline.source {
            Source::Expression(expr) if stands_bare => self.expression(expr),
            _ => self.enclosed_pipeline(pipeline),
        }
    }

    fn join(&mut self, word: &str, join: &Join) {
        self.write(word);
        self.option("kind", join.kind.as_ref());
        self.write(" ");
        self.operand(&join.right);
        self.write(" on ");
        self.listed(&join.on, Self::expression);
    }

    fn union_options(&mut self, kind: Option<&Name>, with_source: Option<&Name>, is_fuzzy: bool) {
        self.option("kind", kind);
        self.option("withsource", with_source);
        self.write(if is_fuzzy { " isfuzzy=true " } else { " " });
    }

    fn union(&mut self, union: &Union) {
        self.write("union");
        self.union_options(union.kind.as_ref(), union.with_source.as_ref(), union.is_fuzzy);
        self.listed(&union.legs, Self::union_leg);
    }

    pub(super) fn union_leg(&mut self, leg: &UnionLeg) {
        match leg {
            UnionLeg::Pipeline(pipeline) => self.operand(pipeline),
            UnionLeg::Wildcard(pattern) => self.name_pattern(pattern),
        }
    }

    fn mv_expand(&mut self, word: &str, expand: &MvExpand) {
        self.write(word);
        self.write(if expand.bag_as_array { " kind=array" } else { "" });
        self.option("with_itemindex", expand.item_index.as_ref());
        self.write(" ");
        self.listed(&expand.columns, |p, column| {
            p.named_expression_beside(&column.value, &["kind", "bagexpansion", "with_itemindex"]);
            if let Some(to_type) = column.to_type {
                p.write(" to typeof(");
                p.write(to_type.name());
                p.write(")");
            }
        });
        self.clause(" limit ", expand.limit.as_ref());
    }

    fn evaluate(&mut self, evaluate: &Evaluate) {
        self.write("evaluate ");
        self.name(&evaluate.plugin);
        self.arguments(&evaluate.arguments);
        if let Some(schema) = &evaluate.schema {
            self.write(" : (");
            self.write(match (schema.keeps_input, schema.columns.is_empty()) {
                (true, true) => "*",
                (true, false) => "*, ",
                (false, _) => "",
            });
            self.listed(&schema.columns, Self::column_declaration);
            self.write(")");
        }
    }

    fn fork(&mut self, legs: &[ForkLeg]) {
        self.write("fork");
        self.indentation += 1;
        for leg in legs {
            self.line();
            // The name of a leg cannot be quoted.
            if let Some(name) = &leg.name {
                self.write(&name.text);
                self.write(" = ");
            }
            self.body(&leg.body);
        }
        self.indentation -= 1;
    }

    fn nested_level(&mut self, level: &NestedLevel) {
        self.write("top-nested");
        self.clause(" ", level.count.as_ref());
        self.write(" of ");
        self.named_expression(&level.of);
        self.clause(" with others = ", level.others.as_ref());
        self.write(" by ");
        self.named_expression(&level.by);
        self.write(if level.ascending { " asc" } else { "" });
    }

    pub(super) fn named_option(&mut self, (name, value): &(Name, Expr)) {
        self.name(name);
        self.write("=");
        self.expression(value);
    }

    fn make_series(&mut self, series: &MakeSeries) {
        self.write(if series.is_nonempty { "make-series kind=nonempty " } else { "make-series " });
        self.listed(&series.aggregates, |p, aggregate| {
            p.named_expression_beside(&aggregate.value, &["kind"]);
            p.clause(" default=", aggregate.default.as_ref());
        });
        self.write(" on ");
        if series.includes_end {
            // Only a bare name may stand before this `in`.
            match &series.axis.value.kind {
                ExprKind::Name(name) => self.write(name),
                _ => self.named_expression(&series.axis),
            }
            self.clause(" in range(", series.from.as_ref());
            self.clause(", ", series.to.as_ref());
            self.clause(", ", Some(&series.step));
            self.write(")");
        } else {
            self.named_expression(&series.axis);
            self.clause(" from ", series.from.as_ref());
            self.clause(" to ", series.to.as_ref());
            self.clause(" step ", Some(&series.step));
        }
        self.by_items(&series.by);
    }

    fn reduce(&mut self, reduce: &Reduce) {
        self.write(if reduce.keeps_source { "reduce kind=source by " } else { "reduce by " });
        self.named_expression(&reduce.by);
        let mut lead = " with ";
        for (name, value) in [("threshold=", &reduce.threshold), ("characters=", &reduce.characters)] {
            if let Some(value) = value {
                self.write(lead);
                self.write(name);
                self.expression(value);
                lead = ", ";
            }
        }
    }

    fn external_data(&mut self, data: &ExternalData) {
        self.write("externaldata(");
        self.listed(&data.columns, Self::column_declaration);
        self.write(") [");
        self.listed(&data.addresses, Self::expression);
        self.write("]");
        if !data.properties.is_empty() {
            self.write(" with (");
            self.listed(&data.properties, Self::named_option);
            self.write(")");
        }
    }

    fn macro_expand(&mut self, expand: &MacroExpand) {
        self.write("macro-expand");
        self.union_options(expand.kind.as_ref(), expand.with_source.as_ref(), expand.is_fuzzy);
        let mut scope_follows = true;
        match &expand.group.kind {
            ExprKind::Name(text) => {
                self.name(&Name { text: text.clone(), span: expand.group.span });
                scope_follows = *text != expand.scope.text;
            }
            ExprKind::Pipeline(group) => self.pipeline(group),
            _ => self.expression(&expand.group),
        }
        if scope_follows {
            self.write(" as ");
            self.name(&expand.scope);
        }
        self.write(" ");
        self.body_script("(", &expand.body, ")");
    }

    fn render(&mut self, visualization: &Name, properties: &[(Name, Expr)]) {
        self.write("render ");
        self.name(visualization);
        if properties.is_empty() {
            return;
        }
        self.write(" with (");
        let mut before = None;
        for (name, value) in properties {
            if before.is_some() {
                self.write(", ");
            }
            // The values of a list are properties of the same name, which is said once.
            if before != Some(&name.text) {
                self.write(&name.text);
                self.write("=");
            }
            self.option_value(value);
            before = Some(&name.text);
        }
        self.write(")");
    }
}

/// Whether an expression is read to its end where a table stands. What begins with a lone word is not, and `*` begins a
/// wildcard.
fn is_table_like(expr: &Expr) -> bool {
    match (&expr.kind, leading(expr)) {
        (ExprKind::Name(_), _) => true,
        (_, (first, is_accessed)) => match &first.kind {
            ExprKind::Name(_) | ExprKind::Literal(Literal::Bool(Some(_)) | Literal::Null) => is_accessed,
            ExprKind::Star => false,
            _ => true,
        },
    }
}
