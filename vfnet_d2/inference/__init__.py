"""From images, videos and folders to detections."""
