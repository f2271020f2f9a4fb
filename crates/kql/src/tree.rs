//! The syntax tree. Every node carries the span of the text that it came from.

mod graph;

use crate::{Span, Type};
pub use graph::{
    GraphComponents, GraphCycles, GraphDirection, GraphEdge, GraphMatch, GraphNodes, GraphPartition, GraphPattern,
    GraphTable, MakeGraph, ShortestPaths,
};

/// Everything that one request sends: statements separated by semicolons.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Script {
    pub statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `let name = value`.
    Let { name: Name, value: LetValue, span: Span },
    /// `set option [= value]`: a request option.
    Set { option: Name, value: Option<Expr>, span: Span },
    /// `declare query_parameters(...)`: values that come with the request.
    Parameters(Vec<Parameter>),
    /// `declare pattern`: rows that are named by texts.
    Pattern(Pattern),
    /// `alias database name = database("...")`.
    Alias { name: Name, value: Expr },
    /// `restrict access to (...)`: only these can be named by what follows.
    Restrict(Vec<Accessible>),
    /// A tabular or scalar expression whose result is returned.
    Query(Pipeline),
}

/// What a `restrict` statement leaves accessible: tables and views by their names, in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq)]
pub struct Accessible {
    /// The text in `database("...")`, empty for the current one; `None` where no database is said.
    pub database: Option<String>,
    pub name: NamePattern,
}

/// `declare pattern name = (arguments)[path] { (texts).[text] = { body }; ... }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    pub name: Name,
    pub arguments: Vec<ColumnDeclaration>,
    pub path: Option<ColumnDeclaration>,
    pub cases: Vec<PatternCase>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PatternCase {
    pub arguments: Vec<Expr>,
    pub path: Option<String>,
    /// A function without parameters.
    pub body: Function,
}

/// What stands right of a `let`.
#[derive(Debug, Clone, PartialEq)]
pub enum LetValue {
    /// A pipeline, which is a scalar when it has no operators and its source is a scalar expression.
    Expression(Pipeline),
    /// `(a: long, T: (x: string)) { body }`.
    Function(Function),
}

/// A function defined in the query text.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    pub parameters: Vec<Parameter>,
    pub body: Script,
    /// True when `view` stood before the parameters: the rows take part in `union *` under the name.
    pub is_view: bool,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub name: Name,
    pub kind: ParameterKind,
    pub default: Option<Expr>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ParameterKind {
    Scalar(Type),
    /// `(a: long, b: string)`; empty for `(*)`, which takes any table.
    Table(Vec<ColumnDeclaration>),
}

/// `name: type` in a `datatable`, a parameter list or a schema.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDeclaration {
    pub name: Name,
    pub column_type: Type,
}

/// An identifier, unquoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub text: String,
    pub span: Span,
}

/// A source of rows and the operators that they pass through.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    pub source: Source,
    pub operators: Vec<Operator>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A table name, a call, a parenthesised pipeline or a scalar expression.
    Expression(Expr),
    /// `print`, `range`, `union` and other operators that need no input.
    Operator(Box<Operator>),
}

/// A tabular operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    pub kind: OperatorKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum OperatorKind {
    Where(Expr),
    Extend(Vec<NamedExpr>),
    Project(Vec<NamedExpr>),
    ProjectAway(Vec<NamePattern>),
    ProjectKeep(Vec<NamePattern>),
    /// `project-by-names`: texts, or arrays of texts, that name columns.
    ProjectByNames(Vec<Expr>),
    ProjectRename(Vec<NamedExpr>),
    ProjectReorder(Vec<ReorderKey>),
    Summarize {
        aggregates: Vec<NamedExpr>,
        by: Vec<NamedExpr>,
    },
    Take(Expr),
    Top {
        count: Expr,
        keys: Vec<SortKey>,
    },
    Sort(Vec<SortKey>),
    /// `serialize [name = value, ...]`: the rows stay in the order in which they come.
    Serialize(Vec<NamedExpr>),
    Distinct(Vec<NamedExpr>),
    Count,
    Join(Join),
    Union(Union),
    /// `lookup`: a join that adds the columns of the right side, its keys left out.
    Lookup(Join),
    MvExpand(MvExpand),
    /// `mv-apply`: operators applied to the elements of each row by themselves.
    MvApply {
        expand: MvExpand,
        body: Vec<Operator>,
    },
    /// `evaluate plugin(arguments) : (schema)`.
    Evaluate(Evaluate),
    /// `search`.
    Search(Search),
    /// `find`.
    Find(Find),
    /// `fork`: several results of the same rows.
    Fork(Vec<ForkLeg>),
    /// `facet by columns with (operators)`: the values of each column, and a result of the rows.
    Facet {
        by: Vec<Name>,
        body: Option<Vec<Operator>>,
    },
    /// `top-nested` with its levels, outermost first.
    TopNested(Vec<NestedLevel>),
    /// `top-hitters count of value [by weight]`.
    TopHitters {
        count: Expr,
        of: NamedExpr,
        by: Option<Expr>,
    },
    /// `partition by key (operators)`: operators applied to the rows of each key by themselves.
    Partition {
        by: Name,
        body: Vec<Operator>,
    },
    /// `partition by key { pipeline }`: a query of its own for each value of the key, which its name means there.
    PartitionEach {
        by: Name,
        body: Pipeline,
    },
    /// `scan`.
    Scan(Scan),
    /// `parse` and `parse-where`.
    Parse(Parse),
    ParseKv(ParseKv),
    MakeSeries(MakeSeries),
    /// `as name`: the rows so far, by a name that the rest of the statement may use.
    As(Name),
    /// `reduce by text`: the patterns of texts.
    Reduce(Reduce),
    /// `consume`: reads all rows and gives none.
    Consume,
    Sample(Expr),
    SampleDistinct {
        count: Expr,
        of: NamedExpr,
    },
    GetSchema,
    /// `invoke f(...)`: the rows are the first argument of a function.
    Invoke {
        function: Name,
        arguments: Vec<Argument>,
    },
    MakeGraph(MakeGraph),
    /// `graph-match` and `graph-shortest-paths`.
    GraphMatch(GraphMatch),
    GraphWhereNodes(Expr),
    GraphWhereEdges(Expr),
    GraphMarkComponents(GraphComponents),
    GraphToTable(Vec<GraphTable>),
    ExternalData(ExternalData),
    /// `entity_group [database("a"), database("b")]`.
    EntityGroup(Vec<Expr>),
    MacroExpand(MacroExpand),
    Print(Vec<NamedExpr>),
    Range {
        column: Name,
        from: Expr,
        to: Expr,
        step: Expr,
    },
    Render {
        visualization: Name,
        properties: Vec<(Name, Expr)>,
    },
    /// An operator that KQL has and this program refuses by name.
    Unsupported(String),
    /// Text that is no operator; reported by the parser.
    Error,
}

/// `name = value`, `(a, b) = value` or just `value`.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedExpr {
    pub names: Vec<Name>,
    /// True when the names stood in parentheses.
    pub is_tuple: bool,
    pub value: Expr,
}

/// A column name in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq)]
pub struct NamePattern {
    pub text: String,
    /// True when a `*` in `text` is a wildcard; false for a quoted name.
    pub has_wildcard: bool,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ReorderKey {
    pub pattern: NamePattern,
    /// `Some(true)` for `asc`, `Some(false)` for `desc`: the order among the columns that a wildcard matches.
    pub ascending: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    pub value: NamedExpr,
    /// `None` when not said, which means descending.
    pub ascending: Option<bool>,
    pub nulls_first: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// The word after `kind=`.
    pub kind: Option<Name>,
    pub right: Box<Pipeline>,
    pub on: Vec<Expr>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Union {
    pub kind: Option<Name>,
    pub with_source: Option<Name>,
    pub is_fuzzy: bool,
    pub legs: Vec<UnionLeg>,
}

/// `externaldata (columns) [addresses] with (format="csv")`: rows of files elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalData {
    pub columns: Vec<ColumnDeclaration>,
    pub addresses: Vec<Expr>,
    pub properties: Vec<(Name, Expr)>,
}

/// `reduce [kind=source] by text [with threshold=0.1, characters="-"]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reduce {
    /// True for `kind=source`: the rows stay, each with its pattern.
    pub keeps_source: bool,
    pub by: NamedExpr,
    pub threshold: Option<Expr>,
    pub characters: Option<Expr>,
}

/// `macro-expand group as scope (statements)`: the statements for each database of a group, all rows together.
#[derive(Debug, Clone, PartialEq)]
pub struct MacroExpand {
    pub kind: Option<Name>,
    pub with_source: Option<Name>,
    pub is_fuzzy: bool,
    /// An `entity_group [...]`, or a name that means one.
    pub group: Expr,
    /// What the database is called within; the name of the group where nothing is said.
    pub scope: Name,
    pub body: Script,
}

#[derive(Debug, Clone, PartialEq)]
pub enum UnionLeg {
    Pipeline(Pipeline),
    /// `Security*`.
    Wildcard(NamePattern),
}

#[derive(Debug, Clone, PartialEq)]
pub struct MvExpand {
    pub columns: Vec<MvExpandColumn>,
    /// True for `kind=array` (or `bagexpansion=array`): a bag's entries become `[key, value]`.
    pub bag_as_array: bool,
    pub item_index: Option<Name>,
    pub limit: Option<Expr>,
    /// True for the legacy spelling `mvexpand`, which keeps 128 rows per input row.
    pub is_legacy: bool,
}

/// `search [kind=...] [in (tables)] predicate`.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    pub is_case_sensitive: bool,
    /// The tables to search; empty for those that are piped in, or all there are.
    pub tables: Vec<UnionLeg>,
    /// A condition in which a bare string is a term that any column may hold.
    pub predicate: Expr,
}

/// `find withsource=name in (tables) where predicate project columns`.
#[derive(Debug, Clone, PartialEq)]
pub struct Find {
    pub with_source: Option<Name>,
    /// The tables to look in; empty for all.
    pub tables: Vec<UnionLeg>,
    pub predicate: Expr,
    /// `None` for `project-smart`, which is also what is done when nothing is said.
    pub project: Option<FindProject>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FindProject {
    /// Columns, with a type where one is said.
    pub columns: Vec<(Name, Option<Type>)>,
    /// True for `pack_all()`: what is left goes into a bag.
    pub packs: bool,
}

/// `name = (operators)` in `fork`.
#[derive(Debug, Clone, PartialEq)]
pub struct ForkLeg {
    pub name: Option<Name>,
    pub body: Vec<Operator>,
}

/// `[count] of value [with others = name] by aggregate [asc]`.
#[derive(Debug, Clone, PartialEq)]
pub struct NestedLevel {
    pub count: Option<Expr>,
    pub of: NamedExpr,
    pub others: Option<Expr>,
    pub by: NamedExpr,
    pub ascending: bool,
}

/// A plugin and what it is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluate {
    pub plugin: Name,
    pub arguments: Vec<Argument>,
    pub schema: Option<PluginSchema>,
}

/// The columns that the query says a plugin gives.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSchema {
    /// True for `*` before the columns: those of the input come first.
    pub keeps_input: bool,
    pub columns: Vec<ColumnDeclaration>,
}

/// `scan with_match_id=name declare (columns) with (steps)`: sequences of rows that meet the conditions of the steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    pub match_id: Option<Name>,
    pub declared: Vec<ScanColumn>,
    pub steps: Vec<ScanStep>,
}

/// A column that the steps assign, with its value where none has.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanColumn {
    pub column: ColumnDeclaration,
    pub default: Option<Expr>,
}

/// `step name output=all: condition => column = value, ...`.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanStep {
    pub name: Name,
    pub output: ScanOutput,
    pub condition: Expr,
    pub assignments: Vec<NamedExpr>,
}

/// Which of the rows that meet a step are in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScanOutput {
    All,
    /// The last of a run of rows that meet the same step.
    Last,
    None,
}

/// `parse value with pattern`.
#[derive(Debug, Clone, PartialEq)]
pub struct Parse {
    pub mode: ParseMode,
    /// The flags of `kind=regex`, as written.
    pub flags: String,
    pub value: Expr,
    pub pattern: Vec<ParsePart>,
    /// True for `parse-where`, which drops the rows that do not match.
    pub drops_others: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseMode {
    /// A value that is not of its column's type fails the whole row.
    Simple,
    /// A value that is not of its column's type is null.
    Relaxed,
    /// Literals are regular expressions.
    Regex,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ParsePart {
    /// `*`: any text.
    Skip(Span),
    Literal(String),
    Column(ColumnDeclaration),
}

/// `parse-kv value as (columns) with (options)`.
#[derive(Debug, Clone, PartialEq)]
pub struct ParseKv {
    pub value: Expr,
    pub columns: Vec<ColumnDeclaration>,
    pub options: Vec<(Name, Expr)>,
}

/// `make-series aggregates on axis from a to b step s by keys`.
#[derive(Debug, Clone, PartialEq)]
pub struct MakeSeries {
    /// True for `kind=nonempty`: no rows give one series of defaults.
    pub is_nonempty: bool,
    pub aggregates: Vec<SeriesAggregate>,
    pub axis: NamedExpr,
    pub from: Option<Expr>,
    pub to: Option<Expr>,
    /// True for the older `in range(from, to, step)`, where `to` belongs to the range.
    pub includes_end: bool,
    pub step: Expr,
    pub by: Vec<NamedExpr>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SeriesAggregate {
    pub value: NamedExpr,
    pub default: Option<Expr>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct MvExpandColumn {
    pub value: NamedExpr,
    pub to_type: Option<Type>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    Literal(Literal),
    Name(String),
    /// `base.member`, also written `base.['member']`.
    Member {
        base: Box<Expr>,
        member: Name,
    },
    /// `base[index]`.
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    Call {
        function: Name,
        arguments: Vec<Argument>,
    },
    Negate(Box<Expr>),
    Binary {
        operator: BinaryOperator,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Between {
        value: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
    },
    /// `value in (...)` and the other operators with a list on the right.
    Membership {
        operator: MembershipOperator,
        value: Box<Expr>,
        list: Vec<Expr>,
    },
    /// `*`: all columns.
    Star,
    /// `typeof(long)`.
    TypeOf(Type),
    /// A pipeline in parentheses, or one that stands as an argument.
    Pipeline(Box<Pipeline>),
    /// `datatable(a: long) [1, 2]`.
    DataTable {
        columns: Vec<ColumnDeclaration>,
        cells: Vec<Expr>,
    },
    /// Text that could not be read; reported by the parser.
    Error,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    pub name: Option<Name>,
    pub value: Expr,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Bool(Option<bool>),
    Int(Option<i32>),
    Long(Option<i64>),
    Real(Option<f64>),
    /// The text of a decimal.
    Decimal(Option<String>),
    String(String),
    /// Ticks since 0001-01-01.
    DateTime(Option<i64>),
    /// `datetime()` without an argument.
    Now,
    /// A time of the day on which the query is asked, in ticks since its start.
    Today(i64),
    /// Ticks.
    TimeSpan(Option<i64>),
    /// Lower case, hyphens in place.
    Guid(Option<String>),
    /// The text between the parentheses of `dynamic(...)`.
    Dynamic(String),
    /// A bare `null`, which only some places take.
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOperator {
    Or,
    And,
    Equal,
    NotEqual,
    EqualIgnoreCase,
    NotEqualIgnoreCase,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    /// `column: "term"` in `search`.
    Search,
    /// One of the word operators on strings.
    Text(TextOperator),
}

/// `has`, `contains`, `startswith` and their kin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TextOperator {
    pub kind: TextMatch,
    pub case_sensitive: bool,
    pub negated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextMatch {
    Has,
    HasPrefix,
    HasSuffix,
    Contains,
    StartsWith,
    EndsWith,
    /// `matches regex`.
    Regex,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MembershipOperator {
    In,
    NotIn,
    InIgnoreCase,
    NotInIgnoreCase,
    HasAny,
    HasAll,
}

impl MembershipOperator {
    /// The operator as it is written.
    pub fn text(self) -> &'static str {
        match self {
            MembershipOperator::In => "in",
            MembershipOperator::NotIn => "!in",
            MembershipOperator::InIgnoreCase => "in~",
            MembershipOperator::NotInIgnoreCase => "!in~",
            MembershipOperator::HasAny => "has_any",
            MembershipOperator::HasAll => "has_all",
        }
    }
}

impl BinaryOperator {
    /// The operator as it is written.
    pub fn text(self) -> String {
        let symbol = match self {
            BinaryOperator::Or => "or",
            BinaryOperator::And => "and",
            BinaryOperator::Equal => "==",
            BinaryOperator::NotEqual => "!=",
            BinaryOperator::EqualIgnoreCase => "=~",
            BinaryOperator::NotEqualIgnoreCase => "!~",
            BinaryOperator::Less => "<",
            BinaryOperator::LessOrEqual => "<=",
            BinaryOperator::Greater => ">",
            BinaryOperator::GreaterOrEqual => ">=",
            BinaryOperator::Add => "+",
            BinaryOperator::Subtract => "-",
            BinaryOperator::Multiply => "*",
            BinaryOperator::Divide => "/",
            BinaryOperator::Modulo => "%",
            BinaryOperator::Search => ":",
            BinaryOperator::Text(text) => return text.text(),
        };
        symbol.to_owned()
    }
}

impl TextOperator {
    /// The operator as it is written.
    pub fn text(self) -> String {
        let word = match self.kind {
            TextMatch::Has => "has",
            TextMatch::HasPrefix => "hasprefix",
            TextMatch::HasSuffix => "hassuffix",
            TextMatch::Contains => "contains",
            TextMatch::StartsWith => "startswith",
            TextMatch::EndsWith => "endswith",
            TextMatch::Regex => return "matches regex".to_owned(),
        };
        let bang = if self.negated { "!" } else { "" };
        let suffix = if self.case_sensitive { "_cs" } else { "" };
        format!("{bang}{word}{suffix}")
    }

    /// Reads the word of an operator, without its bang: `has_cs`, `contains`.
    pub fn from_word(word: &str, negated: bool) -> Option<TextOperator> {
        let (stem, case_sensitive) = match word.strip_suffix("_cs") {
            Some(stem) => (stem, true),
            None => (word, false),
        };
        let kind = match stem {
            "has" => TextMatch::Has,
            "hasprefix" => TextMatch::HasPrefix,
            "hassuffix" => TextMatch::HasSuffix,
            "contains" => TextMatch::Contains,
            "startswith" => TextMatch::StartsWith,
            "endswith" => TextMatch::EndsWith,
            _ => return None,
        };
        Some(TextOperator { kind, case_sensitive, negated })
    }
}
