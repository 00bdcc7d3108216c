//! Joins many files along a dimension to one dataset.

mod axis;
mod group;
mod parts;
mod place;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use arrow::array::{ArrayRef, UInt64Array};
use arrow::compute::take;
use arrow::util::display::array_value_to_string;
use atlas::{Atlas, Catalog};

use self::axis::{Axis, steps, together};
pub use self::group::{Concat, DatasetFrom};
use self::parts::Parts;
use self::place::{Part, Placement, gaps, place};
use crate::files::{FoundFile, find_files};
use crate::netcdf::coordinate;
use crate::plan::{Existing, InputFile};
use crate::run::{Reading, Run};
use crate::source::{Source, Sources};
use crate::{Error, ImportOptions, Planned, Report, thread};

/// The result of joining files to a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// The dataset.
    pub dataset: String,
    /// The number of files that were joined to it.
    pub files: usize,
    /// Whether the dataset existed before.
    pub extended: bool,
    /// Remarks about its dimension: gaps, and files whose coordinates other files have too.
    pub remarks: Vec<String>,
}

/// The files of a dataset.
struct Group {
    dataset: String,
    /// Whether it extends a dataset of the store.
    extends: bool,
    /// Whether it replaces a dataset of the store.
    replaces: bool,
    files: Vec<JoinedFile>,
}

struct JoinedFile {
    file: InputFile,
    axis: Axis,
    /// Whether the dataset contains another version of the file.
    changed: bool,
}

impl Run<'_> {
    /// Joins the files that `paths` name to datasets.
    pub(crate) async fn join(&mut self, paths: &[PathBuf], concat: &Concat) -> Result<(), Error> {
        // Files that turned out to be broken after a part of them was written.
        let mut broken: HashSet<PathBuf> = HashSet::new();
        loop {
            let groups = self.groups(paths, concat, &broken).await?;
            if self.options.dry_run {
                return self.tell(groups);
            }
            match self.join_groups(groups, concat).await {
                Ok(()) => return self.commit().await,
                Err(Error::File { path, reason }) if self.options.skip_errors => {
                    // What was written of the broken file cannot be separated from the rest:
                    // discard everything, and start again without that file.
                    self.atlas.discard().await;
                    let mut skipped = std::mem::take(&mut self.report.skipped);
                    skipped.retain(|(skipped, _)| broken.contains(skipped));
                    self.report = Report::of(self.options);
                    self.report.skipped = skipped;
                    self.report.skipped.push((path.clone(), Error::File { path: path.clone(), reason }));
                    broken.insert(path);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reports what an import would do.
    fn tell(&mut self, groups: Vec<Group>) -> Result<(), Error> {
        for group in groups {
            self.report.imported += 1;
            self.report.replaced += usize::from(group.replaces);
            self.report.joined.push(Joined {
                dataset: group.dataset.clone(),
                files: group.files.len(),
                extended: group.extends,
                remarks: Vec::new(),
            });
            for JoinedFile { file, .. } in group.files {
                let (path, dataset) = (file.path, group.dataset.clone());
                self.report.bytes += file.source.size;
                self.report.planned.push(Planned { path, dataset, replaces: group.replaces });
            }
        }
        Ok(())
    }

    /// The files by dataset, with their coordinates.
    async fn groups(
        &mut self,
        paths: &[PathBuf],
        concat: &Concat,
        broken: &HashSet<PathBuf>,
    ) -> Result<Vec<Group>, Error> {
        let catalog = self.atlas.snapshot().load().await?;
        let (paths, options, concat) = (paths.to_vec(), self.options.clone(), concat.clone());
        let (broken, temporary) = (broken.clone(), self.temporary.clone());
        let planned = tokio::task::spawn_blocking(move || {
            let mut planner =
                Planner { catalog: &catalog, options: &options, concat: &concat, skipped: Vec::new() };
            let found = find_files(&paths, &temporary)?;
            let notices = found.notices;
            let files = found.files.into_iter().filter(|file| match file {
                Ok(file) => !broken.contains(&file.path),
                Err((path, _)) => !broken.contains(path),
            });
            let (groups, unchanged, existing) = planner.groups(files)?;
            Ok::<_, Error>((groups, unchanged, existing, planner.skipped, notices))
        });
        let planned = planned.await.map_err(|e| Error::Panicked { reason: e.to_string() })?;
        let (groups, unchanged, existing, skipped, notices) = planned?;
        self.report.unchanged = unchanged;
        self.report.existing = existing;
        self.report.skipped.extend(skipped);
        for (path, notice) in notices {
            self.report.notices.add(notice, &path);
        }
        Ok(groups)
    }

    /// Writes all groups.
    async fn join_groups(&mut self, groups: Vec<Group>, concat: &Concat) -> Result<(), Error> {
        self.begin(groups.iter().map(|group| group.files.len()).sum());
        for group in groups {
            self.join_group(group, concat).await?;
        }
        Ok(())
    }

    async fn join_group(&mut self, group: Group, concat: &Concat) -> Result<(), Error> {
        let dim = concat.dim.as_str();
        let old = if group.extends { Some(old_axis(self.atlas, &group.dataset, dim).await?) } else { None };
        let mut files = group.files;
        order(&mut files, old.as_ref())?;
        let old_keys = old.as_ref().map(|axis| axis.keys.as_slice()).unwrap_or_default();
        let parts: Vec<Part> = files
            .iter()
            .map(|file| Part { keys: file.axis.keys.clone(), overwrites: file.changed })
            .collect();
        let placement = place(old_keys, &parts);
        let remarks = remarks(dim, old.as_ref(), &files, &placement);

        // A dataset whose cells move is rewritten.
        let anew = group.replaces || group.extends && !placement.stays;
        let name = &group.dataset;
        let under = if anew { self.free_name(name).await? } else { name.clone() };
        let mut writer =
            Parts::begin(self.atlas, &under, dim, placement.total, group.extends && !anew, self.options)
                .await?;
        let mut sources = Vec::new();
        if group.extends {
            sources = sources_of(self.atlas, name).await?;
            if anew {
                writer.copy(name, &placement.old).await?;
            }
        }
        let count = files.len();
        let mut waiting = files.into_iter().zip(placement.parts);
        let mut reading = VecDeque::new();
        loop {
            while reading.len() < self.options.jobs.max(1)
                && let Some((file, runs)) = waiting.next()
            {
                reading.push_back((Reading::start(file.file, self.options), runs));
            }
            let Some((mut read, runs)) = reading.pop_front() else { break };
            let path = read.file.path.clone();
            let written = writer.file(&mut read, &runs).await?;
            sources.retain(|source: &Source| source.location != read.file.source.location);
            sources.push(read.file.source.clone());
            let size = read.file.source.size;
            self.report.bytes += size;
            self.add_written(&path, written);
            self.file_done(size);
        }
        writer.finish(&sources)?;
        if anew {
            self.atlas.delete_dataset(name).await?;
            self.atlas.rename_dataset(&under, name).await?;
        }
        self.dataset_written(name, group.replaces || group.extends);
        self.report.replaced += usize::from(group.replaces);
        self.report.joined.push(Joined {
            dataset: name.clone(),
            files: count,
            extended: group.extends,
            remarks,
        });
        Ok(())
    }
}

/// The coordinates of a dataset of the store.
async fn old_axis(atlas: &Atlas, dataset: &str, dim: &str) -> Result<Axis, Error> {
    let view = atlas.open_dataset(dataset).await?;
    let failed = |reason: String| Error::Join { dataset: dataset.to_owned(), reason };
    let meta = view.meta()?;
    let mut sizes = meta.arrays.iter().flat_map(|(schema, shape)| schema.dims.iter().zip(shape));
    let size = sizes.find(|(name, _)| *name == dim).map(|(_, &size)| size);
    let size = size.ok_or_else(|| failed(format!("it has no dimension `{dim}`")))?;
    let has_coordinate = meta.arrays.iter().any(|(schema, _)| schema.name == dim && schema.dims == [dim]);
    if !has_coordinate {
        return Ok(Axis::counted(0, size));
    }
    let values = view.read_arrow(dim, &[], &[]).await?;
    Axis::of(dim, values).map_err(failed)
}

async fn sources_of(atlas: &Atlas, dataset: &str) -> Result<Vec<Source>, Error> {
    let attribute = atlas.open_dataset(dataset).await?.get_attribute(Source::ATTRIBUTE)?;
    Ok(attribute.map(|value| Source::from_attribute(&value)).unwrap_or_default())
}

/// Sorts files by their first coordinates, and empty ones last. Files without coordinates are
/// numbered, after the existing indices.
fn order(files: &mut [JoinedFile], old: Option<&Axis>) -> Result<(), Error> {
    // Files without indices along the dimension fit both.
    let has = |axis: &Axis| (!axis.keys.is_empty()).then_some(axis.values.is_some());
    let some = |coordinate: bool| files.iter().any(|file| has(&file.axis) == Some(coordinate));
    let expected = old.and_then(has).unwrap_or_else(|| some(true));
    if some(!expected) {
        let odd = files.iter().find(|file| has(&file.axis) == Some(!expected));
        let path = odd.map(|file| file.file.path.clone()).unwrap_or_default();
        let reason = match expected {
            true => "it has no coordinate along the dimension, and what it is joined with has one",
            false => "it has a coordinate along the dimension, and what it is joined with has none",
        };
        return Err(Error::File { path, reason: reason.to_owned() });
    }
    if expected {
        files.sort_by_key(|file| file.axis.keys.first().copied().unwrap_or(i64::MAX));
        return Ok(());
    }
    let mut first = old.map_or(0, |old| old.keys.len());
    for file in files {
        if file.changed {
            let path = file.file.path.clone();
            let reason =
                "it has changed, and no coordinate tells where its values are in the dataset".to_owned();
            return Err(Error::File { path, reason });
        }
        let size = file.axis.keys.len();
        file.axis = Axis::counted(first, size);
        first += size;
    }
    Ok(())
}

/// Remarks about a dimension.
fn remarks(dim: &str, old: Option<&Axis>, files: &[JoinedFile], placement: &Placement) -> Vec<String> {
    let mut remarks = Vec::new();
    for (part, file) in files.iter().enumerate() {
        let keys = file.axis.keys.len();
        let dropped = placement.dropped(part, keys);
        if dropped > 0 {
            remarks.push(format!(
                "overlap: {} has {dropped} of its {keys} values of `{dim}` in common with what comes before it, \
                 which stays",
                file.file.path.display()
            ));
        }
    }
    remarks.extend(gap_remarks(dim, old, files, placement).unwrap_or_default());
    remarks
}

fn gap_remarks(
    dim: &str,
    old: Option<&Axis>,
    files: &[JoinedFile],
    placement: &Placement,
) -> Option<Vec<String>> {
    let axes = old.into_iter().chain(files.iter().map(|file| &file.axis));
    let runs = old.map(|_| &placement.old).into_iter().chain(&placement.parts);
    let (axes, runs): (Vec<_>, Vec<_>) = axes.zip(runs).filter(|(axis, _)| !axis.keys.is_empty()).unzip();
    let values: Vec<ArrayRef> = axes.into_iter().map(|axis| axis.values.clone()).collect::<Option<_>>()?;
    let lengths = values.iter().map(|values| values.len());
    let firsts: Vec<usize> =
        lengths.scan(0, |first, length| Some(std::mem::replace(first, *first + length))).collect();
    let all = together(&values)?;
    // The values in their final order.
    let mut order = vec![0u64; placement.total];
    for (first, runs) in firsts.into_iter().zip(runs) {
        for run in runs {
            for step in 0..run.len {
                *order.get_mut(run.to + step)? = (first + run.from + step) as u64;
            }
        }
    }
    let placed = take(&all, &UInt64Array::from(order), None).ok()?;
    let shown = |place: usize| array_value_to_string(&placed, place).unwrap_or_default();
    let gaps = gaps(&steps(&placed)?);
    let told = gaps.into_iter().map(|(place, missing)| {
        let (one, next) = (shown(place), shown(place + 1));
        format!("gap: between {one} and {next} `{dim}` has no values, where {missing} would be")
    });
    Some(told.collect())
}

/// Determines to which dataset each file belongs.
struct Planner<'a> {
    catalog: &'a Catalog,
    options: &'a ImportOptions,
    concat: &'a Concat,
    skipped: Vec<(PathBuf, Error)>,
}

/// The groups; the number of unchanged files; and the number of files of datasets that are skipped.
type Grouped = (Vec<Group>, usize, usize);

impl Planner<'_> {
    fn groups(
        &mut self,
        files: impl Iterator<Item = Result<FoundFile, (PathBuf, Error)>>,
    ) -> Result<Grouped, Error> {
        let sources = Sources::of_store(self.catalog);
        let (mut unchanged, mut existing) = (0, 0);
        let mut groups: BTreeMap<String, Vec<JoinedFile>> = BTreeMap::new();
        for file in files {
            let update = self.options.existing == Existing::Update;
            let planned = file.map_err(|(_, error)| error).and_then(|file| {
                let known = sources.at(&file.source.location).filter(|_| update);
                if known.is_some_and(|(_, remembered)| file.source.looks_like(remembered)) {
                    return Ok(None);
                }
                let dataset = match known {
                    Some((dataset, _)) => dataset.to_owned(),
                    None => self.concat.dataset.name(&file, self.options.stall_limit)?,
                };
                if self.options.existing == Existing::Skip && self.catalog.ordinal(&dataset).is_some() {
                    existing += 1;
                    return Ok(Some((dataset, None)));
                }
                let axis = self.axis(&file)?;
                let FoundFile { path, origin, source, .. } = file;
                let changed = known.is_some();
                let file = InputFile { path, origin, source, name: dataset.clone(), replaces: false };
                Ok(Some((dataset, Some(JoinedFile { file, axis, changed }))))
            });
            match planned {
                Ok(None) => unchanged += 1,
                Ok(Some((_, None))) => {}
                Ok(Some((dataset, Some(file)))) => groups.entry(dataset).or_default().push(file),
                Err(Error::File { path, reason }) if self.options.skip_errors => {
                    self.skipped.push((path.clone(), Error::File { path, reason }));
                }
                Err(error) => return Err(error),
            }
        }
        let groups = groups.into_iter().map(|(dataset, files)| {
            let there = self.catalog.ordinal(&dataset).is_some();
            if there && self.options.existing == Existing::Error {
                let path = files.first().map(|file| file.file.path.clone()).unwrap_or_default();
                return Err(Error::NameExists { name: dataset, path });
            }
            let replaces = there && self.options.existing == Existing::Replace;
            Ok(Group { dataset, extends: there && !replaces, replaces, files })
        });
        Ok((groups.collect::<Result<_, Error>>()?, unchanged, existing))
    }

    /// The coordinates of a file.
    fn axis(&self, file: &FoundFile) -> Result<Axis, Error> {
        let (path, origin) = (file.path.clone(), file.origin.clone());
        let (dim, options) = (self.concat.dim.clone(), self.options.clone());
        let read = thread::start(&file.path, move || {
            let failed = |reason| Error::File { path: path.clone(), reason };
            let local = origin.open(&mut || true).map_err(failed)?;
            let (size, values) = coordinate(local.path(), &dim, &options).map_err(failed)?;
            match values {
                Some(values) => Axis::of(&dim, values).map_err(failed),
                None => Ok(Axis::counted(0, size)),
            }
        });
        thread::wait(Path::new(&file.path), read, self.options.stall_limit)
    }
}
