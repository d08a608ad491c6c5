"""From folders on disk to prepared chips: registry, readers, digests, pools."""
