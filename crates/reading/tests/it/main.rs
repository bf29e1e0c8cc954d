mod codes;
mod replies;
