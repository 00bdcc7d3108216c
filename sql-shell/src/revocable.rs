//! Object stores in which no file is completed once the permission for it is revoked.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    self, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, UploadPart,
};
use futures::stream::BoxStream;
use url::Url;

/// The permission to complete files.
#[derive(Clone, Debug, Default)]
struct Permission(Arc<AtomicBool>);

impl Permission {
    fn check(&self) -> object_store::Result<()> {
        match self.0.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(object_store::Error::Generic { store: "result", source: "it was abandoned".into() }),
        }
    }
}

/// Revokes a permission when it is dropped.
#[must_use]
pub(crate) struct Revoke(Permission);

impl Drop for Revoke {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::SeqCst);
    }
}

/// The same context with object stores that complete no file after the revocation.
pub(crate) fn revocable(context: &TaskContext) -> Result<(Arc<TaskContext>, Revoke)> {
    let permission = Permission::default();
    let runtime = context.runtime_env();
    let stores = Stores(Arc::clone(&runtime.object_store_registry), permission.clone());
    let runtime = RuntimeEnvBuilder::from_runtime_env(&runtime).with_object_store_registry(Arc::new(stores));
    let context = TaskContext::new(
        context.task_id(),
        context.session_id(),
        context.session_config().clone(),
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        runtime.build_arc()?,
    );
    Ok((Arc::new(context), Revoke(permission)))
}

#[derive(Debug)]
struct Stores(Arc<dyn ObjectStoreRegistry>, Permission);

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.0.register_store(url, store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(Store(self.0.get_store(url)?, self.1.clone())))
    }
}

#[derive(Debug)]
struct Store(Arc<dyn ObjectStore>, Permission);

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.1.check()?;
        self.0.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.1.check()?;
        let upload = self.0.put_multipart_opts(path, options).await?;
        Ok(Box::new(Upload(upload, self.1.clone())))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.0.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.1.check()?;
        self.0.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct Upload(Box<dyn MultipartUpload>, Permission);

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.0.put_part(data)
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        self.1.check()?;
        self.0.complete().await
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.0.abort().await
    }
}

#[cfg(test)]
mod tests {
    use datafusion::object_store::ObjectStoreExt;
    use datafusion::object_store::memory::InMemory;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn no_file_is_completed_after_the_revocation() {
        let url = Url::parse("mem://files").unwrap();
        let files = Arc::new(InMemory::new());
        let session = SessionContext::new();
        session.register_object_store(&url, files.clone());
        let (context, revoke) = revocable(&session.task_ctx()).unwrap();
        let store = context.runtime_env().object_store_registry.get_store(&url).unwrap();
        let [put, completed, late] = ["put", "completed", "late"].map(Path::from);
        store.put(&put, "bytes".into()).await.unwrap();
        let mut uploads =
            [store.put_multipart(&completed).await.unwrap(), store.put_multipart(&late).await.unwrap()];
        for upload in &mut uploads {
            upload.put_part("bytes".into()).await.unwrap();
        }
        uploads[0].complete().await.unwrap();
        drop(revoke);
        assert!(uploads[1].complete().await.is_err());
        assert!(store.put(&put, "others".into()).await.is_err());
        assert!(store.put_multipart(&late).await.is_err());
        assert_eq!(files.get(&put).await.unwrap().bytes().await.unwrap(), "bytes");
        assert!(files.head(&completed).await.is_ok() && files.head(&late).await.is_err());
    }
}
