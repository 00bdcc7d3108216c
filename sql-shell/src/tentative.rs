//! Object stores whose files are kept only if a whole result is.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    self, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, UploadPart,
};
use futures::stream::BoxStream;
use tokio::runtime::Handle;
use url::Url;

/// The files of a result. Unless they are kept, no more file is completed after this is dropped, and
/// the new ones are deleted. Files that were replaced before remain so.
#[must_use]
pub(crate) struct Tentative(Files);

impl Tentative {
    /// Keeps the files.
    pub(crate) fn keep(self) {
        self.0.lock().new.clear();
    }
}

impl Drop for Tentative {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_over = true;
        let new = std::mem::take(&mut state.new);
        drop(state);
        if let (false, Ok(runtime)) = (new.is_empty(), Handle::try_current()) {
            runtime.spawn(async move {
                for (store, path) in new {
                    // If this fails, nobody can be told: the query has failed or was cancelled.
                    let _ = store.delete(&path).await;
                }
            });
        }
    }
}

/// The same context, with object stores whose files are tentative.
pub(crate) fn tentative(context: &TaskContext) -> Result<(Arc<TaskContext>, Tentative)> {
    let files = Files::default();
    let runtime = context.runtime_env();
    let stores = Stores { all: Arc::clone(&runtime.object_store_registry), files: files.clone() };
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
    Ok((Arc::new(context), Tentative(files)))
}

/// The files that were completed.
#[derive(Clone, Debug, Default)]
struct Files(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The files that did not exist before.
    new: Vec<(Arc<dyn ObjectStore>, Path)>,
    is_over: bool,
}

impl Files {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> object_store::Result<()> {
        match self.lock().is_over {
            false => Ok(()),
            true => Err(object_store::Error::Generic { store: "result", source: "it was abandoned".into() }),
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
struct Begun {
    store: Arc<dyn ObjectStore>,
    path: Path,
    is_new: bool,
    files: Files,
}

impl Begun {
    /// Completes the file, in a task that ends even if nobody waits for it any longer: else the file
    /// could appear later, and nobody would delete it.
    async fn complete<T: Send + 'static>(
        self,
        complete: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> object_store::Result<T> {
        self.files.check()?;
        let task = tokio::spawn(async move {
            let done = complete.await?;
            self.completed().await.map(|()| done)
        });
        task.await.map_err(|e| object_store::Error::Generic { store: "result", source: e.into() })?
    }

    /// Notes that the file is complete. It is deleted if that was too late.
    async fn completed(self) -> object_store::Result<()> {
        if !self.is_new {
            return Ok(());
        }
        let is_over = {
            let mut state = self.files.lock();
            if !state.is_over {
                state.new.push((Arc::clone(&self.store), self.path.clone()));
            }
            state.is_over
        };
        if is_over { self.store.delete(&self.path).await } else { Ok(()) }
    }
}

#[derive(Debug)]
struct Stores {
    all: Arc<dyn ObjectStoreRegistry>,
    files: Files,
}

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.all.register_store(url, store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(Store { inner: self.all.get_store(url)?, files: self.files.clone() }))
    }
}

#[derive(Debug)]
struct Store {
    inner: Arc<dyn ObjectStore>,
    files: Files,
}

impl Store {
    async fn begin(&self, path: &Path) -> object_store::Result<Begun> {
        self.files.check()?;
        let known = self.inner.head(path).await;
        Ok(Begun {
            store: Arc::clone(&self.inner),
            path: path.clone(),
            is_new: matches!(known, Err(object_store::Error::NotFound { .. })),
            files: self.files.clone(),
        })
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
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
        let (inner, path) = (Arc::clone(&self.inner), path.clone());
        let begun = self.begin(&path).await?;
        begun.complete(async move { inner.put_opts(&path, payload, options).await }).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        let begun = self.begin(path).await?;
        let inner = self.inner.put_multipart_opts(path, options).await?;
        Ok(Box::new(Upload(Some((inner, begun)))))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        let (inner, from, to) = (Arc::clone(&self.inner), from.clone(), to.clone());
        let begun = self.begin(&to).await?;
        begun.complete(async move { inner.copy_opts(&from, &to, options).await }).await
    }
}

fn has_ended() -> object_store::Error {
    object_store::Error::Generic { store: "result", source: "it has ended already".into() }
}

/// An upload, until it is completed or aborted.
#[derive(Debug)]
struct Upload(Option<(Box<dyn MultipartUpload>, Begun)>);

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match &mut self.0 {
            Some((upload, _)) => upload.put_part(data),
            None => Box::pin(std::future::ready(Err(has_ended()))),
        }
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let (mut upload, begun) = self.0.take().ok_or_else(has_ended)?;
        begun.complete(async move { upload.complete().await }).await
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        let (mut upload, _) = self.0.take().ok_or_else(has_ended)?;
        upload.abort().await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Its parts would stay in the object store, and cost.
        if let (Some((mut upload, _)), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move {
                // If this fails, nobody can be told: the query has failed or was cancelled.
                let _ = upload.abort().await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use datafusion::object_store::memory::InMemory;
    use datafusion::prelude::SessionContext;

    use super::*;

    /// Writes files; then keeps them or not, and returns the contents of `old`, `put`, `completed` and
    /// `late`.
    async fn written(kept: bool) -> [Option<String>; 4] {
        let url = Url::parse("mem://files").unwrap();
        let files = Arc::new(InMemory::new());
        let session = SessionContext::new();
        session.register_object_store(&url, files.clone());
        let paths = ["old", "put", "completed", "late"].map(Path::from);
        let [old, put, completed, late] = &paths;
        files.put(old, "old".into()).await.unwrap();
        let (context, tentative) = tentative(&session.task_ctx()).unwrap();
        let store = context.runtime_env().object_store_registry.get_store(&url).unwrap();
        for path in [old, put] {
            store.put(path, "new".into()).await.unwrap();
        }
        let mut uploads =
            [store.put_multipart(completed).await.unwrap(), store.put_multipart(late).await.unwrap()];
        for upload in &mut uploads {
            upload.put_part("new".into()).await.unwrap();
        }
        uploads[0].complete().await.unwrap();
        match kept {
            true => tentative.keep(),
            false => drop(tentative),
        }
        assert!(uploads[1].complete().await.is_err());
        assert!(store.put(old, "late".into()).await.is_err());
        // Deleting is another task.
        for _ in 0..1000 {
            if kept || files.head(put).await.is_err() && files.head(completed).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut contents = Vec::new();
        for path in &paths {
            let found = files.get(path).await.ok();
            contents.push(match found {
                Some(found) => Some(String::from_utf8(found.bytes().await.unwrap().to_vec()).unwrap()),
                None => None,
            });
        }
        contents.try_into().unwrap()
    }

    /// An upload that tells when it is aborted.
    #[derive(Debug)]
    struct Told(Option<tokio::sync::oneshot::Sender<()>>);

    #[async_trait]
    impl MultipartUpload for Told {
        fn put_part(&mut self, _: PutPayload) -> UploadPart {
            Box::pin(std::future::ready(Ok(())))
        }

        async fn complete(&mut self) -> object_store::Result<PutResult> {
            Err(has_ended())
        }

        async fn abort(&mut self) -> object_store::Result<()> {
            self.0.take().unwrap().send(()).unwrap();
            Ok(())
        }
    }

    #[tokio::test]
    async fn dropped_uploads_are_aborted() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let begun = Begun {
            store: Arc::new(InMemory::new()),
            path: Path::from("new"),
            is_new: true,
            files: Files::default(),
        };
        let mut upload = Upload(Some((Box::new(Told(Some(tell))), begun)));
        upload.put_part("bytes".into()).await.unwrap();
        drop(upload);
        told.await.unwrap();
    }

    #[tokio::test]
    async fn files_stay_only_if_they_are_kept() {
        let new = || Some("new".to_owned());
        assert_eq!(written(true).await, [new(), new(), new(), None]);
        assert_eq!(written(false).await, [new(), None, None, None]);
    }
}
