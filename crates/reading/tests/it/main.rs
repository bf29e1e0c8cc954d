mod replies;
