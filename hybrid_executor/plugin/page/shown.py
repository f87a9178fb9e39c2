from hybrid_executor.store import Store
def read_picture(settings, store: Store):
    store.ping()
    return store.presence.members("worker")
def fit_picture(p, user):
    return {"workers": p}
