"""(A colleague is writing tf.app, tf.flags, tf.logging, tf.gfile, tf.test, tf.config, tf.ConfigProto ... here now.)"""
