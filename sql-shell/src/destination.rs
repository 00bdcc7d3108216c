//! Ensures that results are not written into the files of a store.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use atlas::Storage;
use atlas_datafusion::AtlasTable;
use datafusion::catalog::default_table_source::DefaultTableSource;
use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::{ListingTable, ListingTableUrl};
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::object_store::ObjectStoreExt;
use datafusion::object_store::path::Path as ObjectPath;
use datafusion::prelude::SessionContext;

use crate::error::{Failure, Result};

/// The file that marks a directory as a store.
pub(crate) const CATALOG: &str = "atlas.json";

/// The largest number of links that are followed in a path.
const MOST_LINKS: usize = 40;

/// Rejects a file in a store: in or below a directory with a catalog, after resolving links and
/// `..`.
pub(crate) fn check_path(path: &Path) -> Result<()> {
    let resolved = resolve(path);
    match resolved.ancestors().find(|directory| directory.join(CATALOG).exists()) {
        None => Ok(()),
        Some(store) => Err(inside(&path.display().to_string(), &store.display().to_string())),
    }
}

/// Rejects a plan that writes into a store with COPY or INSERT.
pub(crate) async fn check_plan(context: &SessionContext, plan: &LogicalPlan) -> Result<()> {
    if let LogicalPlan::Ddl(DdlStatement::DropTable(drop)) = plan {
        check_drop(context, &drop.name).await?;
    }
    let (mut written, mut created, mut is_of_store) = (Vec::new(), Vec::new(), false);
    plan.apply_with_subqueries(|plan| {
        match plan {
            LogicalPlan::Copy(copy) => {
                created.push(copy.output_url.clone());
                written.push(copy.output_url.clone());
            }
            LogicalPlan::Dml(dml) => {
                let source = dml.target.downcast_ref::<DefaultTableSource>();
                let table = source.map(|source| Arc::clone(&source.table_provider));
                if table.as_ref().is_some_and(|table| table.downcast_ref::<AtlasTable>().is_some()) {
                    is_of_store = true;
                }
                let files = table.as_ref().and_then(|table| table.downcast_ref::<ListingTable>());
                let paths = files.into_iter().flat_map(|files| files.table_paths());
                written.extend(paths.map(|path| path.as_str().to_owned()));
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if is_of_store {
        return Err(Failure::new("SQL reads stores: `atlas import` and the API change them"));
    }
    for target in &written {
        check_location(context, target).await?;
    }
    created.iter().try_for_each(|target| check_directory(target))
}

/// Rejects a statement that drops the wide table of an attached store.
async fn check_drop(context: &SessionContext, table: &TableReference) -> Result<()> {
    let name = table.table();
    let state = context.state();
    let defaults = &state.config_options().catalog;
    if table.schema().is_some_and(|schema| schema != defaults.default_schema) {
        return Ok(());
    }
    let is_schema = context.catalog(&defaults.default_catalog).is_some_and(|all| all.schema(name).is_some());
    let provider = context.table_provider(table.clone()).await;
    if is_schema && provider.is_ok_and(|provider| provider.downcast_ref::<AtlasTable>().is_some()) {
        return Err(Failure::new(format!("`{name}` is a store: \\detach {name} closes it")));
    }
    Ok(())
}

/// Rejects a new file in a directory that does not exist, which DataFusion would create.
fn check_directory(target: &str) -> Result<()> {
    let url = ListingTableUrl::parse(target)?;
    let path = (url.scheme() == "file").then(|| url.get_url().to_file_path().ok()).flatten();
    match path.as_ref().and_then(|path| path.parent()) {
        Some(directory) if !directory.is_dir() => {
            Err(Failure::new(format!("{target}: there is no directory {}", directory.display())))
        }
        _ => Ok(()),
    }
}

/// Rejects a path or URL in a store.
async fn check_location(context: &SessionContext, target: &str) -> Result<()> {
    let url = ListingTableUrl::parse(target)?;
    if url.scheme() == "file" {
        // The operating system and DataFusion may resolve the path differently, so both ways are
        // checked.
        if !target.to_ascii_lowercase().starts_with("file:") {
            check_path(Path::new(target))?;
        }
        return url.get_url().to_file_path().map_or(Ok(()), |path| check_path(&path));
    }
    // DataFusion only knows the buckets that a scan has used.
    if context.runtime_env().object_store(&url).is_err() {
        let storage = Storage::at(target)?;
        context.runtime_env().register_object_store(storage.root(), Arc::clone(storage.objects()));
    }
    let Ok(objects) = context.runtime_env().object_store(&url) else { return Ok(()) };
    let parts: Vec<_> = url.prefix().parts().collect();
    for length in (0..=parts.len()).rev() {
        let directory: ObjectPath = parts.iter().take(length).cloned().collect();
        if objects.head(&directory.clone().join(CATALOG)).await.is_ok() {
            return Err(inside(target, directory.as_ref()));
        }
    }
    Ok(())
}

fn inside(target: &str, store: &str) -> Failure {
    Failure::new(format!("{target} is in the store {store}: results are not written among its files"))
}

/// An absolute path with links and `..` resolved, as far as it exists.
pub(crate) fn resolve(path: &Path) -> PathBuf {
    followed(path, MOST_LINKS)
}

fn followed(path: &Path, links: usize) -> PathBuf {
    let mut resolved = PathBuf::new();
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for part in absolute.components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            Component::CurDir => {}
            part => resolved.push(part),
        }
        if links > 0
            && let Ok(target) = std::fs::read_link(&resolved)
        {
            let directory = resolved.parent().map(Path::to_owned).unwrap_or_default();
            resolved = followed(&directory.join(target), links - 1);
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn no_way_leads_into_a_store() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("store/v")).unwrap();
        std::fs::create_dir(root.join("beside")).unwrap();
        std::fs::write(root.join("store/atlas.json"), "{}").unwrap();
        symlink(root.join("store/v"), root.join("link")).unwrap();
        symlink("../store/v/new", root.join("beside/dangling")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for inside in [
            "store/atlas.json",
            "store/v/segment",
            "store/new/deep/er.csv",
            "store",
            "beside/../store/x",
            "link/x",
            "link/../x",
            "beside/dangling",
            "beside/missing/../../store/x",
        ] {
            let error = check_path(&root.join(inside)).unwrap_err().to_string();
            assert!(error.contains("is in the store") && error.contains(inside), "{error}");
        }
        for outside in ["x.csv", "beside/x.csv", "store.csv", "store/../x", "store/v/../../x", "loop"] {
            check_path(&root.join(outside)).unwrap();
        }
    }

    #[tokio::test]
    async fn urls_of_stores_are_refused_too() {
        use datafusion::object_store::memory::InMemory;
        let context = SessionContext::new();
        let objects = Arc::new(InMemory::new());
        objects.put(&"data/store/atlas.json".into(), "{}".into()).await.unwrap();
        let bucket = ListingTableUrl::parse("memory://bucket/").unwrap().object_store();
        context.register_object_store(bucket.as_ref(), objects);
        for inside in ["data/store/atlas.json", "data/store/v/x.parquet", "data/store/new/"] {
            let error = check_location(&context, &format!("memory://bucket/{inside}")).await.unwrap_err();
            assert!(error.to_string().contains("is in the store data/store"), "{error}");
        }
        for outside in ["data/x.csv", "data/store.csv", "x"] {
            check_location(&context, &format!("memory://bucket/{outside}")).await.unwrap();
        }
        // A store is known as soon as it is a table, before it is scanned.
        let atlas = atlas::Atlas::create(Arc::new(InMemory::new()), "s".into(), Default::default());
        let atlas = atlas.await.unwrap();
        atlas.create_dataset("d").await.unwrap();
        atlas.flush().await.unwrap();
        atlas_datafusion::register_store(&context, "s", &atlas).unwrap();
        let root = atlas.storage().root();
        let error = check_location(&context, &format!("{root}/s/x.csv")).await.unwrap_err();
        assert!(error.to_string().contains("is in the store s"), "{error}");
        check_location(&context, &format!("{root}/x.csv")).await.unwrap();
        // Without an object store, there is nothing to overwrite.
        check_location(&context, "memory://other/data/store/x.csv").await.unwrap();
    }
}
