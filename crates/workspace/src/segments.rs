//! The rows of a table in pieces, as queries read them: the row groups of its files, and the rows in memory.

use crate::cache::{ArrayKey, Footer, SegmentCache};
use crate::error::{Error, Result, at};
use crate::layout::Layout;
use crate::side::SideFile;
use crate::storage::{TICKS_COLUMN, from_stored};
use crate::table_file::{DataFile, StoredFile};
use arrow::array::{ArrayRef, DictionaryArray, RecordBatch, StringViewArray, UInt32Array, new_null_array};
use arrow::datatypes::{DataType, UInt32Type};
use datafusion::common::DataFusionError;
use datafusion::physical_plan::PhysicalExpr;
use engine::Column;
use engine::columnar::{Bounds, NeededTerms, Segment, Source, dictionary_of, encoded, is_dictionary};
use kql::Type;
use kql::datetime::from_unix_micros;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::statistics::Statistics;
use std::fs::File;
use std::sync::Arc;

/// A row group of a table file.
#[derive(Debug)]
pub(crate) struct FileSegment {
    layout: Arc<Layout>,
    /// Holds the file on the disk.
    file: Arc<StoredFile>,
    footer: Arc<Footer>,
    row_group: usize,
    rows: usize,
    cache: SegmentCache,
}

impl FileSegment {
    /// The row groups of a file.
    pub fn of_file(layout: &Arc<Layout>, file: &DataFile, cache: &SegmentCache) -> Result<Vec<FileSegment>> {
        Ok(FileSegment::of_footer(layout, file, &cache.footer(file.path())?, cache))
    }

    /// The row groups of a file with a footer that was read.
    pub fn of_footer(
        layout: &Arc<Layout>,
        file: &DataFile,
        footer: &Arc<Footer>,
        cache: &SegmentCache,
    ) -> Vec<FileSegment> {
        let groups = footer.metadata.metadata().row_groups();
        let segment = |(row_group, group): (usize, &parquet::file::metadata::RowGroupMetaData)| FileSegment {
            layout: layout.clone(),
            file: file.stored.clone(),
            footer: footer.clone(),
            row_group,
            rows: usize::try_from(group.num_rows()).unwrap_or_default(),
            cache: cache.clone(),
        };
        groups.iter().enumerate().map(segment).collect()
    }

    /// A column as the file has it; with the 100 ns digits, where it has such, for times. `None` where the file is
    /// older than the column.
    pub fn read_stored(&self, column: &Column) -> Result<Option<RecordBatch>> {
        if !self.footer.has(&column.name) {
            return Ok(None);
        }
        let mut names = vec![column.name.as_str()];
        if column.column_type == Type::DateTime && self.footer.has(TICKS_COLUMN) {
            names.push(TICKS_COLUMN);
        }
        let file = File::open(&self.file.path).map_err(at(&self.file.path))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.footer.metadata.clone());
        let mask = ProjectionMask::columns(builder.parquet_schema(), names);
        let mut reader = builder
            .with_projection(mask)
            .with_row_groups(vec![self.row_group])
            .with_batch_size(self.rows.max(1))
            .build()?;
        let damaged = |problem: String| Error::Damaged { path: self.file.path.clone(), offset: 0, problem };
        let batch = match reader.next() {
            Some(batch) => batch.map_err(|e| damaged(e.to_string()))?,
            None => return Err(damaged("a row group has no rows".to_owned())),
        };
        match batch.num_rows() == self.rows {
            true => Ok(Some(batch)),
            false => Err(damaged(format!("a row group has {} rows of {}", batch.num_rows(), self.rows))),
        }
    }

    /// What the side file says; `None` where there is none that can be read.
    fn ask_side_file<T>(&self, ask: impl FnOnce(&SideFile) -> Result<T>) -> Option<T> {
        let side_file = self.cache.side_file(&self.file.path)?;
        ask(&side_file).inspect_err(|error| self.cache.give_up_side_file(&self.file.path, error)).ok()
    }

    /// A member of JSON texts that the side file has.
    fn member_of_file(&self, source: &Source) -> Option<ArrayRef> {
        let Source::Member { column, path } = source else { return None };
        let column = &self.layout.stored[*column].name;
        self.ask_side_file(|side_file| side_file.member(self.row_group, column, path)).flatten()
    }

    fn has_member_file(&self, source: &Source) -> bool {
        let Source::Member { column, path } = source else { return false };
        let side_file = self.cache.side_file(&self.file.path);
        side_file.is_some_and(|file| file.has_member(self.row_group, &self.layout.stored[*column].name, path))
    }

    /// The bytes of a column as it stands in the file, once it is pressed out.
    pub fn stored_bytes(&self, column: &Column) -> u64 {
        let group = self.footer.metadata.metadata().row_group(self.row_group);
        let chunk = group.columns().iter().find(|chunk| chunk.column_descr().name() == column.name);
        chunk.map_or(0, |chunk| u64::try_from(chunk.uncompressed_size()).unwrap_or(u64::MAX))
    }

    fn key(&self, source: &Source, expression: Option<&Arc<dyn PhysicalExpr>>) -> ArrayKey {
        let column = &self.layout.stored[source.column()].name;
        ArrayKey::new(self.footer.number, self.row_group, column, source, expression)
    }

    fn read(&self, at: usize) -> Result<ArrayRef> {
        let column = &self.layout.stored[at];
        let of = self.layout.schema.field(at).data_type();
        let Some(stored) = self.read_stored(column)? else { return Ok(absent(column.column_type, of, self.rows)) };
        let schema = Arc::new(self.layout.schema.project(&[at])?);
        let converted = from_stored(std::slice::from_ref(column), &self.layout.places[at..=at], &schema, &stored)?;
        Ok(encoded(converted.column(0))?)
    }
}

/// A column of rows that are older than it: null, for strings empty.
fn absent(of: Type, data_type: &DataType, rows: usize) -> ArrayRef {
    let value: ArrayRef = match of {
        Type::String => Arc::new(StringViewArray::from_iter_values([""])),
        _ if *data_type == DataType::Utf8View => new_null_array(data_type, 1),
        _ => return new_null_array(data_type, rows),
    };
    match DictionaryArray::<UInt32Type>::try_new(UInt32Array::from(vec![0; rows]), value) {
        Ok(dictionary) => Arc::new(dictionary),
        Err(_) => new_null_array(data_type, rows),
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl Segment for FileSegment {
    fn rows(&self) -> usize {
        self.rows
    }

    fn column(&self, column: usize) -> datafusion::common::Result<ArrayRef> {
        self.derived(&Source::Column(column), None, &mut || self.read(column).map_err(external))
    }

    fn bounds(&self, column: usize) -> Option<Bounds> {
        let (name, of) = (&self.layout.stored[column].name, self.layout.columns[column].column_type);
        let group = self.footer.metadata.metadata().row_group(self.row_group);
        let chunk = group.columns().iter().find(|chunk| chunk.column_descr().name() == name)?;
        let statistics = chunk.statistics()?;
        let Statistics::Int64(values) = statistics else { return None };
        let (least, greatest) = (*values.min_opt()?, *values.max_opt()?);
        let has_nulls = values.null_count_opt().is_none_or(|nulls| nulls > 0);
        match of {
            // Up to nine ticks more may stand beside the microseconds.
            Type::DateTime => Some(Bounds {
                least: from_unix_micros(least),
                greatest: from_unix_micros(greatest).saturating_add(9),
                has_nulls,
            }),
            Type::Long | Type::TimeSpan => Some(Bounds { least, greatest, has_nulls }),
            _ => None,
        }
    }

    fn lacks(&self, column: usize, needed: &NeededTerms) -> bool {
        // The few values of a dictionary that is in memory are asked as quickly as a side file.
        let kept = self.cache.peek(&self.key(&Source::Column(column), None));
        if kept.is_some_and(|kept| is_dictionary(&kept)) {
            return false;
        }
        self.ask_side_file(|side_file| side_file.lacks(self.row_group, &self.layout.stored[column].name, needed))
            .unwrap_or(false)
    }

    fn is_kept(&self, source: &Source) -> bool {
        self.cache.peek(&self.key(source, None)).is_some() || self.has_member_file(source)
    }

    fn derived(
        &self,
        source: &Source,
        expression: Option<&Arc<dyn PhysicalExpr>>,
        make: &mut dyn FnMut() -> datafusion::common::Result<ArrayRef>,
    ) -> datafusion::common::Result<ArrayRef> {
        self.cache.array(self.key(source, expression), || match expression {
            None => self.member_of_file(source).map_or_else(make, Ok),
            Some(_) => make(),
        })
    }
}

/// Fewer rows in memory than this are read as they are.
const ENCODED_ROWS_MIN: usize = 4096;

/// Rows that are in memory and not yet in a file.
#[derive(Debug)]
pub(crate) struct HotSegment {
    number: u64,
    batch: RecordBatch,
    cache: SegmentCache,
}

impl HotSegment {
    /// Rows in the engine's types, with a number that no others have.
    pub fn new(number: u64, batch: RecordBatch, cache: &SegmentCache) -> HotSegment {
        HotSegment { number, batch, cache: cache.clone() }
    }

    fn key(&self, source: &Source, expression: Option<&Arc<dyn PhysicalExpr>>) -> ArrayKey {
        let schema = self.batch.schema_ref();
        ArrayKey::new(self.number, 0, schema.field(source.column()).name(), source, expression)
    }
}

impl Segment for HotSegment {
    fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    fn column(&self, column: usize) -> datafusion::common::Result<ArrayRef> {
        let array = self.batch.column(column);
        if *array.data_type() != DataType::Utf8View {
            return Ok(array.clone());
        }
        self.derived(&Source::Column(column), None, &mut || Ok(dictionary_of(array).unwrap_or_else(|| array.clone())))
    }

    fn bounds(&self, _column: usize) -> Option<Bounds> {
        None
    }

    fn is_kept(&self, source: &Source) -> bool {
        self.cache.peek(&self.key(source, None)).is_some()
    }

    fn derived(
        &self,
        source: &Source,
        expression: Option<&Arc<dyn PhysicalExpr>>,
        make: &mut dyn FnMut() -> datafusion::common::Result<ArrayRef>,
    ) -> datafusion::common::Result<ArrayRef> {
        if self.rows() < ENCODED_ROWS_MIN {
            return make();
        }
        self.cache.array(self.key(source, expression), make)
    }
}
